"""Keeps one process running."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from facet.node.backoff import BackOff, BackOffPolicy
from facet.node.errors import StartFailedError
from facet.node.log_tail import last_words
from facet.node.process import Command, Process
from facet.node.readiness import Readiness

_POLL_SECONDS = 0.05
_UNREADY_STOP_SECONDS = 2.0


class ProcessState(Enum):
    """Where a supervised process stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing off"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Program:
    """A process to be kept running. `command` is asked before every start, output goes to the log.

    `start_seconds` bounds the time until it is ready, `stop_seconds` the time from SIGTERM to the
    end by force.
    """

    name: str
    command: Callable[[], Command]
    log_path: Path
    readiness: Readiness
    start_seconds: float
    stop_seconds: float
    back_off: BackOffPolicy = field(default_factory=BackOffPolicy)


class Supervised:
    """Starts a program, and starts it again after a death, until it is stopped.

    Its attributes are what the screen and the state file show; `on_change` is called after each
    change of them with what happened, in words.
    """

    def __init__(
        self,
        program: Program,
        on_change: Callable[[Supervised, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.program = program
        self.name = program.name
        self.state = ProcessState.WAITING
        self.restarts = 0
        self.since = clock()
        self._clock = clock
        self._on_change = on_change
        self._back_off = BackOff(program.back_off)
        self._process: Process | None = None
        self._stop = asyncio.Event()
        self._how_stopped = "stopped"
        self._first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int | None:
        """The live process's id."""
        return self._process.pid if self._process and self._process.is_running else None

    async def first_ready(self) -> None:
        """Return when it was ready once.

        Errors: StartFailedError where its first life ended, or its time was up, before that.
        """
        await asyncio.shield(self._first_ready)

    async def run(self) -> None:
        """Keep it running until `stop`; being cancelled ends the process by force."""
        try:
            while not self._stop.is_set():
                await self._live_once()
        finally:
            if self._process is not None:
                self._process.kill()
            self._fail_start("was stopped before it was ready")
            self._change(ProcessState.STOPPED, self._how_stopped)

    async def stop(self) -> None:
        """End it for good, within `stop_seconds`; `run` returns then."""
        self._stop.set()
        if self._process is not None and self._process.is_running:
            bound = self.program.stop_seconds
            if self.state is not ProcessState.READY:
                # It holds no work yet, and an engine that loads does not listen.
                bound = min(bound, _UNREADY_STOP_SECONDS)
            self._change(ProcessState.STOPPING, "stopping")
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), bound)
            except TimeoutError:
                self._how_stopped = f"ended by force after {bound:g} s"
                self._process.kill()
                await self._process.wait()

    def kill(self) -> None:
        """End it by force; called beside `stop` to hasten it."""
        if self._process is not None:
            self._process.kill()

    async def _live_once(self) -> None:
        self.program.readiness.forget()
        started = self._clock()
        try:
            self._process = Process(self.program.command(), self.program.log_path)
        except OSError as error:
            await self._after_death(f"could not be started: {error}", 0.0)
            return
        self._change(ProcessState.STARTING, f"starting (pid {self._process.pid})")
        is_ready = await self._wait_ready(self._process, started)
        if is_ready:
            self._change(ProcessState.READY, f"ready after {self._clock() - started:.1f} s")
            if not self._first_ready.done():
                self._first_ready.set_result(None)
        code = await self._process.wait()
        if not self._stop.is_set():
            await self._after_death(f"ended with code {code}", self._clock() - started)

    async def _wait_ready(self, process: Process, started: float) -> bool:
        while process.is_running:
            if await self.program.readiness.is_ready():
                return True
            if self._clock() - started > self.program.start_seconds:
                process.kill()
                self._fail_start(f"not ready after {self.program.start_seconds:g} s")
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def _after_death(self, how: str, lived_seconds: float) -> None:
        self._fail_start(f"{how} before it was ready")
        delay = self._back_off.next_delay_seconds(lived_seconds)
        self.restarts += 1
        self._change(ProcessState.BACKING_OFF, f"{how}, starting again in {delay:.1f} s")
        try:
            await asyncio.wait_for(self._stop.wait(), delay)
        except TimeoutError:
            return

    def _fail_start(self, why: str) -> None:
        if not self._first_ready.done():
            told = last_words(self.program.log_path)
            reason = f"{self.name} {why}; see {self.program.log_path}"
            error = StartFailedError(f"{reason}: {told}" if told else reason)
            self._first_ready.set_exception(error)
            # Read here so that a start nobody waits for is not reported as an unread exception.
            self._first_ready.exception()

    def _change(self, state: ProcessState, what: str) -> None:
        self.state = state
        self.since = self._clock()
        self._on_change(self, what)
