"""A whole node as a child process of a test."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

READY_PREFIX = "READY grpc="
_STOP_SECONDS = 60.0


class NodeProcess:
    """`python -m facet.node` with settings of its own; use it as a context manager.

    `settings` are names of `FACET_NODE_*` in lower case. Its progress goes to a file.
    """

    def __init__(self, folder: Path, *, ready_seconds: float, **settings: str | int) -> None:
        self.state_dir = folder / "state"
        self._progress = folder / "node.log"
        self._ready_seconds = ready_seconds
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self.address = ""

    def __enter__(self) -> Self:
        environment = os.environ | {
            "FACET_NODE_STATE_DIR": str(self.state_dir),
            "FACET_NODE_GATEWAY_LISTEN": "127.0.0.1:0",
            **{f"FACET_NODE_{name.upper()}": str(value) for name, value in self._settings.items()},
        }
        with self._progress.open("w") as progress:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "facet.node"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=progress,
                text=True,
            )
        try:
            self.address = self._read_address()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()

    def state(self) -> dict[str, Any]:
        """What the node last wrote of itself: addresses, and name, pid and state by process."""
        state: dict[str, Any] = json.loads((self.state_dir / "state.json").read_text())
        return state

    def pid(self, name: str) -> int:
        """Process id of one child, such as `worker-0`."""
        (found,) = (p["pid"] for p in self.state()["processes"] if p["name"] == name)
        return int(found)

    def log(self, name: str) -> str:
        """What one child has logged so far."""
        return (self.state_dir / "logs" / f"{name}.log").read_text(errors="replace")

    def _read_address(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + self._ready_seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            ready = selector.select(max(deadline - time.monotonic(), 0))
        line = self._process.stdout.readline() if ready else ""
        if not line.startswith(READY_PREFIX):
            progress = self._progress.read_text(errors="replace")
            raise AssertionError(f"the node did not become ready:\n{progress}")
        return line.strip().removeprefix(READY_PREFIX)
