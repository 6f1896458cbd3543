"""The queue in one process's memory: for tests of what stands on a queue.

Passes the contract tests that `RedisQueue` passes. All sides have to run in one event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from facet.queue.limits import QueueLimits
from facet.queue.memory_consumer import MemoryConsumer
from facet.queue.memory_ledger import Ledger
from facet.queue.memory_operator import MemoryOperator
from facet.queue.memory_producer import MemoryProducer
from facet.queue.memory_reader import MemoryReader


def monotonic_ms() -> int:
    """Milliseconds that never go back."""
    return time.monotonic_ns() // 1_000_000


class MemoryQueue(MemoryProducer, MemoryReader, MemoryConsumer, MemoryOperator):
    """`facet.queue.port.Queue` without a store; see the port for the contract of each call.

    `clock_ms` is the store's time, for tests that move it; waits take real time.
    """

    def __init__(
        self,
        limits: QueueLimits | None = None,
        *,
        clock_ms: Callable[[], int] = monotonic_ms,
        shard: int = 0,
    ) -> None:
        super().__init__(Ledger(limits or QueueLimits(), clock_ms, shard))

    async def close(self) -> None:
        """See `Queue.close`."""
