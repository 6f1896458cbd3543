"""Tells a stuck request from a stuck engine, and ends what is stuck."""

from __future__ import annotations

import asyncio

import structlog

from facet.core.errors import FacetError
from facet.worker.engine.port import EngineDeadError
from facet.worker.run import Run, Stop
from facet.worker.runs import Runs
from facet.worker.workplace import Workplace

_PERIOD_SECONDS = 0.5
_LONGEST_PROBE_SECONDS = 30.0

_log = structlog.get_logger(__name__)


class Watchdog:
    """Watches the engine and what runs in it; `stall_seconds` is its patience.

    When a request made no progress for so long, the engine is asked for one id. If it answers, or
    makes any step meanwhile, the request alone is stuck: it ends as ENGINE_STALLED. If not, the
    engine hangs: nothing is ended, for another worker can go on with all of it. An engine whose
    every seat is stuck cannot answer either and counts as hung.
    """

    def __init__(self, runs: Runs, place: Workplace, *, stall_seconds: float) -> None:
        self._runs = runs
        self._place = place
        self._stall_seconds = stall_seconds

    async def run(self) -> None:
        """Watch until cancelled. Errors: EngineDeadError."""
        while True:
            await asyncio.sleep(_PERIOD_SECONDS)
            await self._place.engine.check()
            if not self._stalled():
                continue
            await self._probe()
            # Those that went on meanwhile are not stuck.
            for run in self._stalled():
                _log.error("run.stalled", generation_id=run.claimed.lease.generation_id)
                run.stop(Stop.STALLED)

    def _stalled(self) -> list[Run]:
        return [run for run in self._runs if run.idle_seconds() > self._stall_seconds]

    async def _probe(self) -> None:
        steps = self._place.pulse.steps
        try:
            async with asyncio.timeout(min(self._stall_seconds, _LONGEST_PROBE_SECONDS)):
                await self._place.engine.probe()
        except TimeoutError as error:
            # With all seats taken the probe waits as well, while the others progress.
            if self._place.pulse.steps == steps:
                raise EngineDeadError("the engine hangs: a probe got no answer") from error
        except FacetError as error:
            # An answer, too.
            _log.warning("probe.failed", reason=error.reason_name())
