"""A whole node as a child process of a test, with a folder and ports of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STOP_SECONDS = 60.0

SIMULATED = {
    "FACET_NODE_ENGINE": "simulated",
    # Slow enough for an answer to be cut: one to two tokens every 60 ms.
    "FACET_WORKER_SIMULATED_STEP_MS": "60",
}
"""Settings of a node with the simulated engine."""


class RunningNode:
    """`python -m facet.node`; `env` adds settings. `close` it, however it ended."""

    def __init__(
        self, folder: Path, env: Mapping[str, str], *, ready_seconds: float = 60.0
    ) -> None:
        self.state_dir = folder / "state"
        self._ready_seconds = ready_seconds
        self._address = ""
        self._errors = (folder / "errors").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "facet.node"],
            env=os.environ
            | {
                "FACET_NODE_STATE_DIR": str(self.state_dir),
                "FACET_NODE_GATEWAY_LISTEN": "127.0.0.1:0",
            }
            | dict(env),
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )

    @property
    def errors(self) -> str:
        """What it told on standard error so far."""
        self._errors.flush()
        return Path(self._errors.name).read_text()

    @property
    def redis_url(self) -> str:
        """Where its Redis is, password included."""
        return str(self._state()["redis_url"])

    def address(self) -> str:
        """Wait for the READY line, once, and return the address in it."""
        if self._address:
            return self._address
        assert self.process.stdout is not None
        # A node that hangs must not hang the test: the line ends when the process does.
        timer = threading.Timer(self._ready_seconds, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        assert line.startswith("READY grpc=127.0.0.1:"), self.errors
        self._address = line.strip().removeprefix("READY grpc=")
        return self._address

    def state(self, name: str) -> dict[str, Any]:
        """What the state file tells of one process, such as `worker-0`."""
        (found,) = (process for process in self._processes() if process["name"] == name)
        return found

    def workers(self) -> list[int]:
        """The live workers' pids."""
        return [p["pid"] for p in self._processes() if p["name"].startswith("worker") and p["pid"]]

    def pids(self) -> list[int]:
        """The live processes that the state file names."""
        return [process["pid"] for process in self._processes() if process["pid"]]

    def wait(self) -> tuple[int, str]:
        """Wait for its end; the exit code and what else it wrote to standard output."""
        rest, _ = self.process.communicate(timeout=STOP_SECONDS)
        return self.process.returncode, rest

    def close(self) -> None:
        """Stop it if the test did not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.communicate(timeout=STOP_SECONDS)
        self._errors.close()

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.state_dir / "state.json").read_text())
        return state

    def _processes(self) -> list[dict[str, Any]]:
        return list(self._state()["processes"])


def logged(node: RunningNode, process: str, event: str) -> dict[str, Any]:
    """The latest line of a process's log, such as `worker-0`, that tells this event.

    A process that was killed and started again has more of them.
    """
    lines = (node.state_dir / "logs" / f"{process}.log").read_text().splitlines()
    told = [line for line in lines if f'"{event}"' in line]
    assert told, f"{process} has not logged {event}"
    line: dict[str, Any] = json.loads(told[-1])
    return line
