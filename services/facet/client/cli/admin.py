"""`facet admin`: looks into queues, workers, requests and dead letters, and acts on them."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facet.client.admin import DEFAULT_ADDRESS, AdminClient
from facet.client.cli import admin_report, admin_scaling, admin_usage, terminal
from facet.client.cli.arguments import (
    API_KEY_VARIABLE,
    Parser,
    RefusedError,
    add_tls,
    connected,
    count,
)
from facet.client.cli.plain import plain

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]

ADMIN_SERVER_VARIABLE = "FACET_ADMIN_SERVER"
STATE_DIR_VARIABLE = "FACET_NODE_STATE_DIR"
_STATE_DIR = ".facet"

_DEAD = ("ended", "dead-lettered")
_MAX_IDS = 100


def add_commands(commands: Commands) -> None:
    """The arguments of `facet admin`."""
    admin = commands.add_parser("admin", help="look into a deployment, and act on it")
    actions = admin.add_subparsers(dest="action", required=True)
    request = _leaf(actions, "request", "one request's whole life", _request)
    request.add_argument("generation_id", metavar="ID", help="the generation's id")
    _leaf(actions, "queues", "what waits, by class", _queues)
    _leaf(actions, "workers", "the workers that report", _workers)
    _add_dead_letters(actions.add_parser("dlq", help="requests that were given up"))
    drain = _leaf(actions, "drain", "have a worker hand back its work and take no more", _drain)
    drain.add_argument("worker", metavar="WORKER", help="the worker's name")
    admin_usage.add_command(_leaf(actions, "usage", "what ended generations took", _usage))
    scaler = actions.add_parser("autoscaler", help="what decides how many workers there are")
    explain = _leaf(
        scaler.add_subparsers(dest="autoscaler_action", required=True),
        "explain",
        "the last decision, and why",
        _explain_autoscaler,
    )
    explain.add_argument("--model", default="", help="the model (default: the first one served)")
    deletion = _leaf(
        actions, "delete-tenant", "end and delete all that is kept of a tenant", _delete_tenant
    )
    deletion.add_argument("tenant", metavar="TENANT", help="the tenant's name")
    audit = _leaf(actions, "audit", "what operators did, newest first", _audit)
    audit.add_argument("--limit", type=count, default=50, help="entries at most (default 50)")


def run(arguments: argparse.Namespace) -> None:
    """Carry out an action. Errors: FacetApiError, RefusedError, UsageError."""
    arguments.address = arguments.address or default_server()
    with connected(AdminClient, arguments) as client:
        arguments.act(client, arguments)


def default_server() -> str:
    """The admin server to ask: as the environment names it, else that of the node in this folder.

    A node tells its address in `state.json` of its state folder.
    """
    named = os.environ.get(ADMIN_SERVER_VARIABLE)
    if named:
        return named
    state = Path(os.environ.get(STATE_DIR_VARIABLE) or _STATE_DIR) / "state.json"
    try:
        return json.loads(state.read_text()).get("admin") or DEFAULT_ADDRESS
    except (OSError, ValueError):
        return DEFAULT_ADDRESS


def _leaf(
    commands: Commands,
    name: str,
    about: str,
    act: Callable[[AdminClient, argparse.Namespace], None],
) -> Parser:
    parser = commands.add_parser(name, help=about)
    parser.add_argument(
        "--admin-server",
        dest="address",
        metavar="HOST:PORT",
        help=f"admin port of a gateway (default ${ADMIN_SERVER_VARIABLE}, else that of the node in "
        f"${STATE_DIR_VARIABLE} or {_STATE_DIR}, else {DEFAULT_ADDRESS}); the API key is read from "
        f"${API_KEY_VARIABLE}",
    )
    add_tls(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(act=act)
    return parser


def _add_dead_letters(parser: Parser) -> None:
    actions = parser.add_subparsers(dest="dlq_action", required=True)
    listing = _leaf(actions, "list", "newest first", _list_dead_letters)
    listing.add_argument("--limit", type=count, default=50, help="letters at most (default 50)")
    show = _leaf(actions, "show", "one dead letter's whole life", _show_dead_letter)
    show.add_argument("generation_id", metavar="ID", help="the generation's id")
    for name, about, act in (
        ("redrive", "put them back on their queue", _redrive),
        ("discard", "delete them for good", _discard),
    ):
        action = _leaf(actions, name, about, act)
        action.add_argument("generation_ids", metavar="ID", nargs="+", help="generation ids")


def _request(client: AdminClient, arguments: argparse.Namespace) -> None:
    request = plain(client.inspect(arguments.generation_id))
    _print(arguments, request, admin_report.request_lines(request))


def _queues(client: AdminClient, arguments: argparse.Namespace) -> None:
    queues = plain(client.queues())["queues"]
    _print(arguments, queues, admin_report.queue_lines(queues))


def _workers(client: AdminClient, arguments: argparse.Namespace) -> None:
    workers = plain(client.workers())["workers"]
    _print(arguments, workers, admin_report.worker_lines(workers))


def _explain_autoscaler(client: AdminClient, arguments: argparse.Namespace) -> None:
    told = plain(client.explain_autoscaler(arguments.model))
    _print(arguments, told, admin_scaling.explanation_lines(told))


def _list_dead_letters(client: AdminClient, arguments: argparse.Namespace) -> None:
    letters = plain(client.dead_letters(arguments.limit))["dead_letters"]
    _print(arguments, letters, admin_report.dead_letter_lines(letters))


def _show_dead_letter(client: AdminClient, arguments: argparse.Namespace) -> None:
    request = plain(client.inspect(arguments.generation_id))
    last = request["life"][-1] if request["life"] else {"what": "", "detail": ""}
    if (last["what"], last["detail"]) != _DEAD:
        raise RefusedError(f"{arguments.generation_id} is no dead letter")
    _print(arguments, request, admin_report.request_lines(request))


def _redrive(client: AdminClient, arguments: argparse.Namespace) -> None:
    _act_on_letters(arguments, "redriven", client.redrive)


def _discard(client: AdminClient, arguments: argparse.Namespace) -> None:
    _act_on_letters(arguments, "discarded", client.discard)


def _act_on_letters(
    arguments: argparse.Namespace, done: str, act: Callable[[Sequence[str]], int]
) -> None:
    ids = list(dict.fromkeys(arguments.generation_ids))
    number = sum(act(ids[at : at + _MAX_IDS]) for at in range(0, len(ids), _MAX_IDS))
    _print(arguments, {done: number}, [f"{done}: {number} of {len(ids)}"])
    if number < len(ids):
        raise RefusedError(f"{len(ids) - number} of {len(ids)} are no dead letters")


def _drain(client: AdminClient, arguments: argparse.Namespace) -> None:
    client.drain(arguments.worker)
    _print(arguments, {"drained": arguments.worker}, [f"{arguments.worker} was told to drain"])


def _audit(client: AdminClient, arguments: argparse.Namespace) -> None:
    entries = plain(client.audit(arguments.limit))["entries"]
    _print(arguments, entries, admin_report.audit_lines(entries))


def _usage(client: AdminClient, arguments: argparse.Namespace) -> None:
    records = client.usage(
        since=arguments.since,
        until=arguments.until,
        tenant=arguments.tenant,
        model=arguments.model,
    )
    admin_usage.write(records, as_csv=arguments.csv, as_json=arguments.json)


def _delete_tenant(client: AdminClient, arguments: argparse.Namespace) -> None:
    number = client.delete_tenant(arguments.tenant)
    _print(arguments, {"deleted": number}, [f"deleted: {number}"])


def _print(arguments: argparse.Namespace, values: Any, lines: Sequence[str]) -> None:
    if arguments.json:
        print(json.dumps(values, ensure_ascii=False))
        return
    for line in lines:
        # What clients named themselves, such as an adapter, stands in it.
        terminal.write_answer(f"{line}\n")
