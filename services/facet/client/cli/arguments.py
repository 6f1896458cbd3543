"""Command-line arguments that several commands share, and what they stand for."""

from __future__ import annotations

import argparse
import os
from typing import NoReturn, TypeVar

from facet.client import content
from facet.client.admin import AdminClient
from facet.client.connection import DEFAULT_ADDRESS
from facet.client.content import Part
from facet.client.request import GENERATE_TIMEOUT_SECONDS, GenerateOptions
from facet.client.sync_client import Client
from facet.client.tls import Tls

ADDRESS_VARIABLE = "FACET_ADDRESS"
API_KEY_VARIABLE = "FACET_API_KEY"
TLS_VARIABLE = "FACET_TLS"
TLS_FILES = {"ca": "CAs of the server", "cert": "own certificate", "key": "own private key"}

_Client = TypeVar("_Client", Client, AdminClient)

MEDIA = {"image": content.image, "audio": content.audio, "video": content.video}


class UsageError(Exception):
    """The command line cannot be carried out; the message says why, in one line."""


class RefusedError(Exception):
    """What was asked for is not there; the message says so, in one line."""


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line in one line."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser.error`; exits with code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


class MediaAction(argparse.Action):
    """Keeps kind and path of each file in the order of the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """See `argparse.Action`."""
        # The option may be abbreviated, so its full name is taken.
        kind = self.option_strings[0].removeprefix("--")
        namespace.media = [*namespace.media, (kind, str(values))]


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Where the gateway is."""
    parser.add_argument(
        "--address",
        default=os.environ.get(ADDRESS_VARIABLE, DEFAULT_ADDRESS),
        help=f"gateway as HOST:PORT, or several with commas between (default ${ADDRESS_VARIABLE} "
        f"or {DEFAULT_ADDRESS}); the API key is read from ${API_KEY_VARIABLE}",
    )
    add_tls(parser)


def add_tls(parser: argparse.ArgumentParser) -> None:
    """How the connection is encrypted."""
    parser.add_argument(
        "--tls",
        action="store_true",
        default=os.environ.get(TLS_VARIABLE) == "1",
        help=f"connect over TLS (default: when ${TLS_VARIABLE} is 1, or one of the files is given)",
    )
    for name, what in TLS_FILES.items():
        variable = f"{TLS_VARIABLE}_{name.upper()}"
        parser.add_argument(
            f"--{name}",
            metavar="FILE",
            default=os.environ.get(variable) or None,
            help=f"{what}, PEM (default ${variable})",
        )
    variable = f"{TLS_VARIABLE}_SERVER_NAME"
    parser.add_argument(
        "--server-name",
        metavar="NAME",
        default=os.environ.get(variable, ""),
        help=f"name in the server's certificate, when it is not that of the address "
        f"(default ${variable})",
    )


def tls_of(arguments: argparse.Namespace) -> Tls | None:
    """What the arguments say about TLS; None without."""
    files = (arguments.ca, arguments.cert, arguments.key)
    if not arguments.tls and not any(files):
        return None
    return Tls(*files, server_name=arguments.server_name)


def add_generation(parser: argparse.ArgumentParser) -> None:
    """What is asked, and how."""
    for kind in MEDIA:
        parser.add_argument(
            f"--{kind}",
            metavar="PATH",
            action=MediaAction,
            dest="media",
            default=[],
            help=f"attach a file ({kind}); may be repeated",
        )
    parser.add_argument("--model", help="model name (default: the server's first)")
    parser.add_argument("--system", help="instruction that precedes the conversation")
    parser.add_argument("--temperature", type=float, help="0 is greedy, at most 2")
    parser.add_argument("--max-output-tokens", type=count, help="output tokens at most")
    parser.add_argument("--thinking", action="store_true", help="let the model think first")
    parser.add_argument(
        "--priority", choices=("interactive", "standard", "batch"), help="queue class"
    )
    parser.add_argument(
        "--timeout",
        dest="timeout_seconds",
        type=_seconds,
        default=GENERATE_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="deadline of an answer, queueing included (default %(default)g)",
    )


def generation_options(arguments: argparse.Namespace) -> GenerateOptions:
    """The options that the arguments name; absent ones are left to the server."""
    options: GenerateOptions = {"timeout_seconds": arguments.timeout_seconds}
    if arguments.model is not None:
        options["model"] = arguments.model
    if arguments.system is not None:
        options["system"] = arguments.system
    if arguments.temperature is not None:
        options["temperature"] = arguments.temperature
    if arguments.max_output_tokens is not None:
        options["max_output_tokens"] = arguments.max_output_tokens
    if arguments.priority is not None:
        options["priority"] = arguments.priority
    if arguments.thinking:
        options["thinking"] = True
    return options


def attachments(arguments: argparse.Namespace) -> list[Part]:
    """The media named on the command line, in its order. Errors: UsageError."""
    return [attach(kind, path) for kind, path in arguments.media]


def attach(kind: str, path: str) -> Part:
    """Read a file as a part of one of the kinds of `MEDIA`. Errors: UsageError."""
    try:
        return MEDIA[kind](path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(str(error)) from error


def connect(arguments: argparse.Namespace) -> Client:
    """A client of the gateway that the arguments name. Errors: UsageError."""
    return connected(Client, arguments)


def connected(kind: type[_Client], arguments: argparse.Namespace) -> _Client:
    """A client of that kind, of the server that the arguments name. Errors: UsageError."""
    key = os.environ.get(API_KEY_VARIABLE)
    try:
        return kind(arguments.address, api_key=key, tls=tls_of(arguments))
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error


def count(value: str) -> int:
    """A whole number above 0 from the command line."""
    if not value.isdecimal() or not 0 < int(value) < 2**32:
        raise argparse.ArgumentTypeError("a whole number above 0 is wanted")
    return int(value)


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("a number of seconds above 0 is wanted")
    return seconds
