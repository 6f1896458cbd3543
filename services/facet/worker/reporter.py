"""Publishes what this worker is and does."""

from __future__ import annotations

import asyncio
import time

import structlog

from facet.api.queue.v1 import log_pb2
from facet.core.errors import StoreUnavailableError
from facet.queue.port import Consumer
from facet.worker.engine.port import Engine
from facet.worker.measures import Measures
from facet.worker.run import ENVELOPE_VERSIONS
from facet.worker.runs import Runs
from facet.worker.speculation_gate import SpeculationGate

_PERIOD_SECONDS = 2.0

_log = structlog.get_logger(__name__)


class Reporter:
    """Reports every 2 s; `is_draining` is part of the report.

    `drain_asked` is set when an operator asked this worker to drain.
    """

    def __init__(
        self,
        queue: Consumer,
        engine: Engine,
        runs: Runs,
        *,
        worker: str,
        model: str,
        measures: Measures | None = None,
        profile: str = "",
        speculation: SpeculationGate | None = None,
    ) -> None:
        """`measures` are those of the worker; without them it tells less of itself."""
        self._queue = queue
        self._engine = engine
        self._runs = runs
        self._worker = worker
        self._model = model
        self._measures = measures or Measures(model)
        self._profile = profile
        self._started_seconds = time.time()
        self._speculation = speculation
        # One call at a time: none may arrive after one that was made later.
        self._calling = asyncio.Lock()
        self._is_retired = False
        self.is_draining = False
        self.drain_asked = asyncio.Event()

    async def run(self) -> None:
        """Report until cancelled; while the store is away reports are dropped."""
        while True:
            await self.report()
            await asyncio.sleep(_PERIOD_SECONDS)

    async def report(self) -> None:
        """Report once, unless it is retired."""
        async with self._calling:
            if not self._is_retired:
                await self._report()

    async def retire(self) -> None:
        """Withdraw the report for good; when the store is away it lapses by itself."""
        async with self._calling:
            self._is_retired = True
            try:
                await self._queue.retire(self._worker)
            except StoreUnavailableError as error:
                _log.warning("retire.store_away", cause=repr(error.__cause__))

    async def _report(self) -> None:
        report = log_pb2.WorkerReport(
            name=self._worker,
            model=self._model,
            fingerprint=self._engine.fingerprint,
            running=len(self._runs),
            capacity=self._engine.capacity,
            context_tokens=self._engine.context_tokens,
            draining=self.is_draining,
            envelope_versions=ENVELOPE_VERSIONS,
            pool=self._measures.pool,
            profile=self._profile,
            kv_use=self._measures.engine.kv_share,
            tokens_per_step=self._measures.engine.tokens_per_step,
            start_seconds=self._measures.start_seconds,
        )
        report.start_time.FromSeconds(int(self._started_seconds))
        report.report_time.GetCurrentTime()
        if self._speculation is not None:
            report.speculation.CopyFrom(
                log_pb2.SpeculationReport(
                    healthy=self._speculation.is_healthy,
                    acceptance=self._speculation.acceptance,
                    floor=self._speculation.floor,
                )
            )
        try:
            if await self._queue.report(self._worker, report.SerializeToString()):
                self.drain_asked.set()
        except StoreUnavailableError as error:
            _log.debug("report.store_away", cause=repr(error.__cause__))
