"""How many workers serve a model at present."""

from __future__ import annotations

import time

from facet.api.queue.v1.log_pb2 import WorkerReport
from facet.queue.port import Observer

KEPT_SECONDS = 1.0


class LiveWorkers:
    """Counts the workers that report and still claim; an answer is kept for a second."""

    def __init__(self, queue: Observer) -> None:
        self._queue = queue
        self._count = 0
        self._counted_at = float("-inf")

    async def count(self) -> int:
        """The count. Errors: StoreUnavailableError."""
        if time.monotonic() - self._counted_at > KEPT_SECONDS:
            reports = [WorkerReport.FromString(report) for report in await self._queue.reports()]
            self._count = sum(not report.draining for report in reports)
            self._counted_at = time.monotonic()
        return self._count
