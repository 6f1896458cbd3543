"""`facet weights pull`: fills a folder, such as a volume of a cluster, with a profile's weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from facet.client.cli.arguments import Parser, RefusedError, UsageError
from facet.profiles.catalogue import PROFILES
from facet.weights.errors import WeightsError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]


def add_command(commands: Commands) -> None:
    """The arguments of `facet weights`."""
    parser = commands.add_parser("weights", help="download weights (needs facet[worker])")
    actions = parser.add_subparsers(dest="action", required=True)
    pull = actions.add_parser("pull", help="bring target and drafter here; resumes")
    pull.add_argument("--profile", required=True, choices=tuple(PROFILES), help="whose weights")
    pull.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="write DIR/target and DIR/drafter (default: the cache of Hugging Face)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Download, and print both folders. Errors: UsageError, RefusedError."""
    try:
        from facet.weights.progress import shown  # noqa: PLC0415 - not in the SDK's installation
        from facet.weights.sources import Fetching, copy_to, resolve  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(f"{error}; install facet[worker]") from error
    profile = PROFILES[arguments.profile]
    fetching = Fetching(shown())
    for part, source in (("target", profile.target.source), ("drafter", profile.drafter.source)):
        try:
            if arguments.to is None:
                print(resolve(source, fetching))
            else:
                print(copy_to(source, arguments.to / part, fetching))
        except WeightsError as error:
            raise RefusedError(str(error)) from error
