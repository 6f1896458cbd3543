"""Shards of which some do not answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facet.queue.answers import store_unavailable
from facet.queue.memory_queue import MemoryQueue
from facet.queue.memory_registry import MemoryRegistry, MemoryRegistryBooks
from facet.queue.sharded_queue import ShardedQueue
from facet.queue.shards import Shards
from facet.queue.values import (
    Append,
    Claim,
    ClaimResult,
    Finish,
    Followed,
    Inbox,
    Lease,
    LogEntry,
    Verdict,
    WriteResult,
)
from facet.queue.views import SweepResult


class AwayQueue(MemoryQueue):
    """Fails while `is_away`; with `loses_answers` it does first what it was asked for.

    `claims` are those that it was asked for, `calls` counts all calls.
    """

    def __init__(self, shard: int) -> None:
        super().__init__(shard=shard)
        self.is_away = False
        self.loses_answers = False
        self.claims: list[Claim] = []
        self.calls = 0

    async def claim(self, claim: Claim) -> ClaimResult:
        self.claims.append(claim)
        if self.loses_answers:
            await super().claim(claim)
        self._check_in()
        return await super().claim(claim)

    async def wait_for_work(self, worker: str, timeout_ms: int) -> bool:
        self._check_in()
        return await super().wait_for_work(worker, timeout_ms)

    async def write(self, writes: Sequence[Append | Finish]) -> list[WriteResult]:
        self._check_in()
        return await super().write(writes)

    async def heartbeat(
        self, worker: str, fingerprint: str, leases: Sequence[Lease]
    ) -> list[Verdict]:
        self._check_in()
        return await super().heartbeat(worker, fingerprint, leases)

    async def read(self, cursors: Mapping[str, int], *, limit: int) -> dict[str, list[LogEntry]]:
        self._check_in()
        return await super().read(cursors, limit=limit)

    async def follow(
        self, follower: str, positions: Mapping[str, int], *, received: str = ""
    ) -> dict[str, Followed]:
        self._check_in()
        return await super().follow(follower, positions, received=received)

    async def receive(self, follower: str, cursor: str, *, block_ms: int) -> Inbox:
        self._check_in()
        return await super().receive(follower, cursor, block_ms=block_ms)

    async def sweep(self) -> SweepResult:
        self._check_in()
        return await super().sweep()

    async def ping(self) -> None:
        self._check_in()

    def _check_in(self) -> None:
        self.calls += 1
        if self.is_away or self.loses_answers:
            raise store_unavailable()


class AwayShards:
    """`queue` over so many shards."""

    def __init__(self, count: int) -> None:
        self.shards = [AwayQueue(shard) for shard in range(count)]
        registry = MemoryRegistry(MemoryRegistryBooks(), count=count)
        self.queue = ShardedQueue(Shards(registry, lambda at: self.shards[at], count=count))
