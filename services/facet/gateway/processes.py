"""A gateway of several processes: one supervises, the others serve on shared ports."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from facet.core.parent_death import end_with_parent
from facet.core.tasks import cancel_all
from facet.core.telemetry import gateway_metrics
from facet.core.telemetry.processes import environment, forget_live_values, is_one_of_several

RESTART_SECONDS = 1.0
START_SECONDS = 60.0
STOP_MARGIN_SECONDS = 5.0
"""What a process may need beyond its drain bound to leave."""

_PARENT = "FACET_GATEWAY_SUPERVISOR_PID"
_NOT_FOR_PROCESSES = ("FACET_GATEWAY_ADDRESS_FILE", "FACET_GATEWAY_METRICS_LISTEN")

_log = structlog.get_logger(__name__)


def follow_supervisor() -> None:
    """Drain this process, if it is one of several, when its supervisor ends."""
    if is_one_of_several():
        end_with_parent(int(os.environ[_PARENT]), signal.SIGTERM)


class StartError(Exception):
    """No process could be made, or it ended before it served and told why on standard error."""


class Processes(Collector):
    """Runs `count` processes and starts those anew that end by themselves.

    `settings` are environment variables of theirs; the rest they inherit.
    """

    def __init__(self, count: int, folder: Path, settings: Mapping[str, str]) -> None:
        """`folder` is where they keep their metrics."""
        self._count = count
        self._folder = folder
        inherited = {k: v for k, v in os.environ.items() if k not in _NOT_FOR_PROCESSES}
        self._environment = inherited | dict(settings) | {_PARENT: str(os.getpid())}
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._ready: set[int] = set()
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Return when all serve. Errors: StartError, after all have ended."""
        starts = [asyncio.create_task(self._start(slot)) for slot in range(self._count)]
        try:
            await asyncio.gather(*starts)
        except StartError:
            await cancel_all(starts)
            await self.stop(0.0)
            raise
        self._loops = [asyncio.create_task(self._keep(slot)) for slot in range(self._count)]

    async def stop(self, drain_seconds: float) -> None:
        """End all: they drain; those that take longer than they may are killed."""
        await cancel_all(self._loops)
        ending = list(self._running.values())
        for process in ending:
            _signal(process, signal.SIGTERM)
        ends = [asyncio.create_task(process.wait()) for process in ending]
        if ends:
            await asyncio.wait(ends, timeout=drain_seconds + STOP_MARGIN_SECONDS)
        for process in ending:
            _signal(process, signal.SIGKILL)
        await asyncio.gather(*ends)

    def describe(self) -> list[Metric]:
        """Nothing: the catalogue has the name."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `Collector.collect`."""
        family = gateway_metrics.PROCESSES.family()
        family.add_metric((), len(self._ready))
        yield family

    async def _keep(self, slot: int) -> None:
        while True:
            code = await self._running[slot].wait()
            self._ready.discard(slot)
            forget_live_values(self._folder, slot)
            _log.error("gateway process ended", slot=slot, code=code)
            await asyncio.sleep(RESTART_SECONDS)
            try:
                await self._start(slot)
            except StartError as error:
                _log.error("gateway process did not start", slot=slot, why=str(error))

    async def _start(self, slot: int) -> None:
        process = self._running[slot] = await self._spawn(slot)
        assert process.stdout is not None  # noqa: S101 - for the type checker
        try:
            async with asyncio.timeout(START_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line.startswith(b"READY"):
            _signal(process, signal.SIGKILL)
            raise StartError(f"exit status {await process.wait()}")
        self._ready.add(slot)

    async def _spawn(self, slot: int) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "facet.gateway"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env=self._environment | environment(self._folder, slot),
                # Ctrl-C reaches the supervisor alone.
                start_new_session=True,
            )
        except OSError as error:
            raise StartError(str(error)) from error


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)
