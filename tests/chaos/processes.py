"""Processes that are started again the moment they die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_POLL_SECONDS = 0.05


class Process:
    """One place for a process of a kind, such as the second worker.

    Every start is a life of its own, numbered from 0; `environment(life)` says what it is given.
    `kills` counts the SIGKILLs sent by `kill`, `own_deaths` those that the process brought on
    itself, `odd_exits` the codes of all other ends, those with 0 that `replace` asked for aside.
    `release` is the folder of the installed package that its next lives run, None for the one of
    this environment.
    """

    def __init__(
        self,
        name: str,
        module: str,
        folder: Path,
        environment: Callable[[int, Path], Mapping[str, str]],
    ) -> None:
        self.name = name
        self.life = -1
        self.kills = 0
        self.own_deaths = 0
        self.odd_exits: list[int] = []
        self.is_paused = False
        self.release: Path | None = None
        self._module = module
        self._ready_file = folder / f"{name}.ready"
        self._log_path = folder / f"{name}.log"
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._is_killed = False
        self._is_asked_to_end = False
        self._is_closing = False

    @property
    def is_ready(self) -> bool:
        """Whether it serves."""
        return self.is_running and self._ready_file.exists()

    @property
    def is_running(self) -> bool:
        """Whether it lives, paused or not."""
        return self._process is not None and self._process.poll() is None

    async def run(self, waiters: ThreadPoolExecutor) -> None:
        """Keep it running until `close`; a waiter's thread is taken for it."""
        loop = asyncio.get_running_loop()
        while not self._is_closing:
            self._start()
            assert self._process is not None
            code = await loop.run_in_executor(waiters, self._process.wait)
            if code != -signal.SIGKILL:
                if code != 0 or not self._is_asked_to_end:
                    self.odd_exits.append(code)
                await asyncio.sleep(_POLL_SECONDS)
            self.own_deaths += code == -signal.SIGKILL and not self._is_killed

    async def ready(self, bound_seconds: float) -> None:
        """Return when it serves. Errors: TimeoutError."""
        async with asyncio.timeout(bound_seconds):
            while not self.is_ready:  # noqa: ASYNC110 - a file tells it
                await asyncio.sleep(_POLL_SECONDS)

    async def replace(self, release: Path | None, bound_seconds: float) -> None:
        """SIGTERM; return when its next life, of this release, serves. Errors: TimeoutError."""
        life = self.life
        self.release = release
        self._is_asked_to_end = True
        self._send(signal.SIGTERM)
        async with asyncio.timeout(bound_seconds):
            while self.life == life or not self.is_ready:  # noqa: ASYNC110 - as in `ready`
                await asyncio.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """SIGKILL; it is started again at once."""
        if self._process is not None and self.is_running:
            self._is_killed = True
            self.kills += 1
            self._process.kill()

    def pause(self) -> None:
        """SIGSTOP."""
        self._send(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)
        self.is_paused = False

    def close(self) -> None:
        """End it for good; safe to repeat."""
        self._is_closing = True
        if self._process is not None:
            if self.is_running:
                self._is_killed = True
                self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        self.life += 1
        self._is_killed = self._is_asked_to_end = False
        self._ready_file.unlink(missing_ok=True)
        environment = dict(self._environment(self.life, self._ready_file))
        if self.release is not None:
            environment["PYTHONPATH"] = str(self.release)
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                env=os.environ | environment,
                stdout=log,
                stderr=log,
            )

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(number)
