"""The in-memory twin with a clock that the test moves."""

from __future__ import annotations

from facet.core.errors import GenerationNotFoundError
from facet.queue.limits import QueueLimits
from facet.queue.memory_queue import MemoryQueue
from tests.support.queue_contract.world import TENANT

LIMITS = QueueLimits(max_waiting=260)


class MemoryWorld:
    """See `World`."""

    def __init__(self, limits: QueueLimits = LIMITS) -> None:
        self.limits = limits
        self._now_ms = 1_000_000
        self._queue = MemoryQueue(limits, clock_ms=lambda: self._now_ms)

    @property
    def queue(self) -> MemoryQueue:
        """See `World.queue`."""
        return self._queue

    async def advance(self, milliseconds: int) -> None:
        """See `World.advance`."""
        self._now_ms += milliseconds

    async def stored_names(self) -> set[str]:
        """See `World.stored_names`; looks for the ids that the tests use."""
        found = set()
        for number in range(20):
            try:
                await self.queue.status(f"g-0-{number}", TENANT)
            except GenerationNotFoundError:
                continue
            found.add(f"g-0-{number}")
        return found
