"""`facet keys new`: an API key and the line by which a gateway knows it."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import secrets
from typing import TYPE_CHECKING

from facet.client.cli.arguments import Parser

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]

KEY_BYTES = 32
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def add_commands(commands: Commands) -> None:
    """The arguments of `facet keys`."""
    keys = commands.add_parser("keys", help="API keys for a gateway's key file")
    actions = keys.add_subparsers(dest="action", required=True)
    new = actions.add_parser("new", help="print a new key, once, and its line for the key file")
    new.add_argument("--tenant", type=_tenant, required=True, help="who is to use it")
    new.add_argument("--admin", action="store_true", help="an operator's key")
    new.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> None:
    """Print a key that is stored nowhere, and what a gateway has to know of it."""
    key = f"facet_{secrets.token_urlsafe(KEY_BYTES)}"
    line = f"{arguments.tenant}:{hashlib.sha256(key.encode()).hexdigest()}"
    line += ":admin" if arguments.admin else ""
    if arguments.json:
        print(json.dumps({"key": key, "line": line}))
        return
    print(f"key   {key}\nline  {line}")


def _tenant(value: str) -> str:
    if _TENANT.fullmatch(value) is None:
        raise argparse.ArgumentTypeError("letters, digits, _ . - are wanted, at most 64")
    return value
