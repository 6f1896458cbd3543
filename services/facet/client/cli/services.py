"""`facet node`, `facet gateway`, `facet worker`, `facet simulate`: processes of their own."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence

from facet.client.cli.exit_codes import ExitCode

EXTRAS = {"node": "node", "gateway": "gateway", "worker": "worker-cpu"}
"""Service and the extra of the distribution that it needs."""


def run(service: str) -> None:
    """Become the service; returns only by SystemExit where it is not installed."""
    # Every service reads its settings with it, and the light installation lacks it.
    if importlib.util.find_spec("pydantic_settings") is None:
        extra = EXTRAS[service]
        print(f"facet: {service} is not installed: pip install 'facet[{extra}]'", file=sys.stderr)
        sys.exit(ExitCode.USAGE)
    _become(f"facet.{service}")


def simulate(arguments: Sequence[str]) -> None:
    """Become the simulator with its own arguments; as `run` does."""
    if importlib.util.find_spec("numpy") is None:
        print("facet: simulate is not installed: pip install 'facet[simulator]'", file=sys.stderr)
        sys.exit(ExitCode.USAGE)
    _become("facet.simulator", *arguments)


def _become(module: str, *arguments: str) -> None:
    # Without -P the working directory comes first on the path, and a folder there may be anybody's.
    command = [sys.executable, "-P", "-m", module, *arguments]
    os.execv(command[0], command)  # noqa: S606 - this interpreter, a fixed module
