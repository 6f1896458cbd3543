"""The in-memory twin with a clock that the test moves."""

from __future__ import annotations

from facet.core.errors import GenerationNotFoundError
from facet.queue.limits import QueueLimits
from facet.queue.memory_queue import MemoryQueue
from tests.support.queue_contract.world import START_MS, TENANT

LIMITS = QueueLimits(max_waiting=260, dead_letter_ms=400_000)


class MemoryWorld:
    """See `World`."""

    def __init__(self, limits: QueueLimits = LIMITS, *, shard: int = 0) -> None:
        self.limits = limits
        self._shard = shard
        self._now_ms = START_MS
        self._queue = self._connect()

    @property
    def queue(self) -> MemoryQueue:
        """See `World.queue`."""
        return self._queue

    async def restrict(self, limits: QueueLimits) -> None:
        """See `World.restrict`."""
        self.limits = limits
        self._queue = self._connect()

    async def advance(self, milliseconds: int) -> None:
        """See `World.advance`."""
        self._now_ms += milliseconds

    async def stored_names(self) -> set[str]:
        """See `World.stored_names`; looks for the ids that the tests use."""
        found = set()
        for number in range(20):
            try:
                await self.queue.status(f"g-{self._shard}-{number}", TENANT)
            except GenerationNotFoundError:
                continue
            found.add(f"g-{self._shard}-{number}")
        return found

    def _connect(self) -> _Queue:
        return _Queue(self.limits, clock_ms=lambda: self._now_ms, shard=self._shard)

    async def pass_arrival(self) -> None:
        """Let time pass as by an arrival elsewhere."""
        self._queue.pass_arrival()

    async def close(self) -> None:
        """There is nothing to be closed."""


class _Queue(MemoryQueue):
    def pass_arrival(self) -> None:
        self._ledger.arrive()
