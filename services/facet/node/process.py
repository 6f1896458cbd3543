"""One operating-system process: started, watched, ended, all by a descriptor of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """What to execute, in which environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


class Process:
    """A running child in a session of its own, so that Ctrl-C reaches only the node.

    A pidfd stands for the child: a signal can never reach a stranger that got the same pid.
    """

    def __init__(self, command: Command, log_path: Path) -> None:
        """Start it; its output is appended to the log. Errors: OSError."""
        with log_path.open("ab") as log:
            self._popen = subprocess.Popen(  # noqa: S603 - the node's own command line
                [sys.executable, "-P", "-m", "facet.node.child", str(os.getpid()), *command.argv],
                env=dict(command.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._pidfd = os.pidfd_open(self.pid)
        loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[int] = loop.create_future()
        loop.add_reader(self._pidfd, self._on_exit)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return not self._exit.done()

    async def wait(self) -> int:
        """The exit code; negative for the signal that ended it."""
        return await asyncio.shield(self._exit)

    def terminate(self) -> None:
        """Ask it to end."""
        if self.is_running:
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and everything in its session at once."""
        if self.is_running:
            self._kill_group()
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def _kill_group(self) -> None:
        # Sound while the leader is not reaped: its pid, the group's number, cannot be reused.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        # A worker that was killed leaves its engine's processes behind.
        self._kill_group()
        code = self._popen.wait()
        os.close(self._pidfd)
        self._exit.set_result(code)
