"""What replicas of the autoscaler share through the store: who leads, what it decided and knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

from facet.queue.codec import scaling_record
from facet.queue.connection import Argument, RedisConnection
from facet.queue.keys import Keys
from facet.queue.limits import MAX_BATCH
from facet.queue.lua import load_scripts
from facet.queue.redis_side import batches
from facet.queue.store import Store
from facet.queue.views import ScalingRecord


class ScalingMemory(Protocol):
    """One model's. All raise StoreUnavailableError."""

    async def lead(self, name: str, life_ms: int) -> int:
        """Lead for so long, from the store's time on: the epoch, 0 while another one leads.

        A leader that asks again in time keeps its epoch; `life_ms` 0 ends it.
        """

    async def record(self, epoch: int, decision: bytes, memory: bytes) -> bool:
        """Keep both as of this time; False, and nothing is kept, once the epoch is over."""

    async def recall(self) -> ScalingRecord:
        """What was kept last."""

    async def put_timings(self, samples: Sequence[bytes]) -> None:
        """Add to what the leader is to learn from; the oldest of too many are dropped."""

    async def take_timings(self) -> list[bytes]:
        """Up to 100 samples, oldest first, which nobody else gets."""


class RedisScalingMemory:
    """`ScalingMemory` beside shard 0 of the model's queue."""

    def __init__(self, connection: RedisConnection, clock: str | None = None) -> None:
        self._redis = connection
        self._scripts = load_scripts(clock) if clock else load_scripts()

    @classmethod
    def connect(
        cls, store: Store | str, *, release: str, model: str, clock: str | None = None
    ) -> Self:
        """In a store, or the one at a URL; `clock` as in `RedisQueue.connect`.

        Errors: ValueError when release or model cannot be part of a key.
        """
        return cls(RedisConnection(store, Keys(release, model).base), clock)

    async def lead(self, name: str, life_ms: int) -> int:
        """See `ScalingMemory.lead`."""
        return int(await self._run("lead_scaling", name, life_ms))

    async def record(self, epoch: int, decision: bytes, memory: bytes) -> bool:
        """See `ScalingMemory.record`."""
        return bool(await self._run("record_scaling", epoch, decision, memory))

    async def recall(self) -> ScalingRecord:
        """See `ScalingMemory.recall`."""
        return scaling_record(await self._run("recall_scaling"))

    async def put_timings(self, samples: Sequence[bytes]) -> None:
        """See `ScalingMemory.put_timings`."""
        for batch in batches(samples, MAX_BATCH):
            await self._run("put_timings", *batch)

    async def take_timings(self) -> list[bytes]:
        """See `ScalingMemory.take_timings`."""
        taken: list[bytes] = await self._run("take_timings")
        return taken

    async def close(self) -> None:
        """Release connections."""
        await self._redis.close()

    async def _run(self, script: str, *arguments: Argument) -> Any:
        return await self._redis.run(self._scripts[script], *arguments)
