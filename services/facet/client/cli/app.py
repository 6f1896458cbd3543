"""The command `facet`: parse, run, turn failures into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, cast

from facet import __version__
from facet.client.cli import (
    admin,
    chat,
    exit_codes,
    generate,
    keys,
    models,
    plan,
    services,
    terminal,
    weights,
)
from facet.client.cli.arguments import (
    Parser,
    RefusedError,
    UsageError,
    add_connection,
    add_generation,
    tls_of,
)
from facet.client.cli.exit_codes import ExitCode
from facet.client.errors import FacetApiError, StreamCorruptedError


def main(argv: Sequence[str] | None = None) -> None:
    """Run `facet`; ends by SystemExit with one of `ExitCode`."""
    given = sys.argv[1:] if argv is None else argv
    if given[:1] == ["simulate"]:
        services.simulate(given[1:])
    arguments = build_parser().parse_args(argv)
    warnings.showwarning = cast("Any", _warn)
    try:
        sys.exit(_run(arguments))
    except BrokenPipeError:
        # Whoever read the output has left; nothing may be written at exit any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.FAILED)


def build_parser() -> Parser:
    """The command line."""
    parser = Parser(prog="facet", description="Talk to Facet, or run it.")
    parser.add_argument("--version", action="version", version=f"facet {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    talk = commands.add_parser("chat", help="a conversation on the terminal")
    add_connection(talk)
    add_generation(talk)

    ask = commands.add_parser("generate", help="one request, one answer")
    add_connection(ask)
    add_generation(ask)
    ask.add_argument("--json", action="store_true", help="print one JSON object")
    ask.add_argument("prompt", help="what to ask; - reads it from standard input")

    listing = commands.add_parser("models", help="what the deployment serves")
    add_connection(listing)
    listing.add_argument("--json", action="store_true", help="print a JSON list")

    keys.add_commands(commands)
    plan.add_command(commands)
    weights.add_command(commands)
    admin.add_commands(commands)

    commands.add_parser("simulate", help="compare scaling policies (needs facet[simulator])")

    for service, extra in services.EXTRAS.items():
        own = commands.add_parser(
            service,
            help=f"run the {service}; settings come from FACET_{service.upper()}_* "
            f"(needs facet[{extra}])",
        )
        if service == "node":
            own.add_argument("--profile", help="FACET_NODE_PROFILE; auto takes the best that fits")
    return parser


def _run(arguments: argparse.Namespace) -> ExitCode:
    try:
        _dispatch(arguments)
    except FacetApiError as error:
        terminal.note(f"facet: {_describe(error, arguments)}")
        return exit_codes.of(error)
    except (UsageError, UnicodeError) as error:
        is_text = isinstance(error, UsageError)
        terminal.note(f"facet: {error if is_text else 'what is asked is not UTF-8'}")
        return ExitCode.USAGE
    except RefusedError as error:
        terminal.note(f"facet: {error}")
        return ExitCode.REFUSED
    except StreamCorruptedError as error:
        terminal.note(f"facet: {error}")
        return ExitCode.FAILED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    terminal.note(f"facet: {message}")


def _describe(error: FacetApiError, arguments: argparse.Namespace) -> str:
    address = getattr(arguments, "address", "")
    if arguments.command == "admin":
        names = {"server": "admin server", "option": "--admin-server"}
    else:
        names = {}
    is_tls = "tls" in arguments and tls_of(arguments) is not None
    return exit_codes.describe(error, address, is_tls=is_tls, **names)


def _dispatch(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "chat":
            chat.run(arguments)
        case "generate":
            generate.run(arguments)
        case "models":
            models.run(arguments)
        case "keys":
            keys.run(arguments)
        case "plan":
            plan.run(arguments)
        case "weights":
            weights.run(arguments)
        case "admin":
            admin.run(arguments)
        case service:
            if profile := getattr(arguments, "profile", None):
                os.environ["FACET_NODE_PROFILE"] = profile
            services.run(service)
