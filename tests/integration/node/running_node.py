"""A node of its own for a test: its process, folder and ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
STOP_SECONDS = 40.0


class RunningNode:
    """`python -m facet.node` with the simulated engine.

    Its steps are slow enough for an answer to be cut: one to two tokens every 60 ms.
    """

    def __init__(self, folder: Path, **env: str) -> None:
        self.state_dir = folder / "state"
        self._errors = (folder / "errors").open("w+")
        self._first_line = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "facet.node"],
            env=os.environ
            | {
                "FACET_NODE_ENGINE": "simulated",
                "FACET_NODE_STATE_DIR": str(self.state_dir),
                "FACET_NODE_GATEWAY_LISTEN": "127.0.0.1:0",
                "FACET_WORKER_SIMULATED_STEP_MS": "60",
            }
            | env,
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

    def address(self) -> str:
        """Wait for the READY line and return the address in it."""
        assert self.process.stdout is not None
        # A node that hangs must not hang the test: the line ends when the process does.
        timer = threading.Timer(START_SECONDS, self.process.kill)
        timer.start()
        try:
            self._first_line = self.process.stdout.readline()
        finally:
            timer.cancel()
        assert self._first_line.startswith("READY grpc=127.0.0.1:"), self.errors
        return self._first_line.strip().removeprefix("READY grpc=")

    def state(self, name: str) -> dict[str, Any]:
        """What the state file tells of one process."""
        processes = json.loads((self.state_dir / "state.json").read_text())["processes"]
        (found,) = (process for process in processes if process["name"] == name)
        return dict(found)

    def pids(self) -> list[int]:
        """The live processes that the state file names."""
        processes = json.loads((self.state_dir / "state.json").read_text())["processes"]
        return [process["pid"] for process in processes if process["pid"]]

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
