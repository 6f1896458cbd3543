"""The queue in Redis with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from facet.queue.connection import RedisConnection
from facet.queue.keys import Keys
from facet.queue.limits import QueueLimits
from facet.queue.redis_queue import RedisQueue
from facet.queue.scaling import RedisScalingMemory
from facet.queue.values import Submission, Submitted
from tests.support.queue_contract.memory_world import LIMITS
from tests.support.queue_contract.world import START_MS

_RUNNING_CLOCK = """
local function now_us()
  local time = redis.call('TIME')
  local ahead = tonumber(redis.call('GET', base .. ':test-clock') or 0)
  return time[1] * 1000000 + time[2] + ahead
end"""
_STANDING_CLOCK = f"""
local function now_us()
  return {START_MS}000 + tonumber(redis.call('GET', base .. ':test-clock') or 0)
end"""


class RedisWorld:
    """See `World`. Unless the clock `stands`, time passes by itself too, as in a real store."""

    def __init__(
        self,
        url: str,
        release: str,
        limits: QueueLimits = LIMITS,
        *,
        stands: bool = False,
        shard: int = 0,
    ) -> None:
        self.limits = limits
        self.url = url
        self.keys = Keys(release, "nano", shard)
        self.redis: Any = Redis.from_url(url, protocol=2, driver_info=None)
        self._release = release
        self._stands = stands
        self._clock = f"{self.keys.base}:test-clock"
        self._queue = self._connect()

    def scaling_memory(self) -> RedisScalingMemory:
        """What the autoscaler shares in this store, by the same clock."""
        connection = RedisConnection(self.url, self.keys.base)
        return RedisScalingMemory(connection, _STANDING_CLOCK if self._stands else _RUNNING_CLOCK)

    @property
    def queue(self) -> RedisQueue:
        """See `World.queue`."""
        return self._queue

    async def restrict(self, limits: QueueLimits) -> None:
        """See `World.restrict`."""
        await self._queue.close()
        self.limits = limits
        self._queue = self._connect()

    async def advance(self, milliseconds: int) -> None:
        """See `World.advance`."""
        if not milliseconds:
            return
        ahead = int(await self.redis.get(self._clock) or 0)
        await self.redis.set(self._clock, (ahead // 1000 + milliseconds) * 1000)
        for key in await self.all_keys():
            left_ms = await self.redis.pttl(key)
            if left_ms >= 0:
                await self.redis.pexpire(key, left_ms - milliseconds)

    async def all_keys(self) -> list[str]:
        """All keys of this queue."""
        return [key.decode() async for key in self.redis.scan_iter(f"{self.keys.base}:*", 1000)]

    async def stored_names(self) -> set[str]:
        """See `World.stored_names`: every key that belongs to one request."""
        families = ("record", "envelope", "log", "ids", "life", "idem", "media")
        prefixes = tuple(self.keys.of(family, "") for family in families)
        return {key for key in await self.all_keys() if key.startswith(prefixes)}

    async def pass_arrival(self) -> None:
        """Let time pass as by an arrival elsewhere."""
        await self.redis.incrby(self._clock, 1)

    async def close(self) -> None:
        """Close all connections."""
        await self.queue.close()
        await self.redis.aclose(close_connection_pool=True)

    def _connect(self) -> RedisQueue:
        kind, clock = (
            (_ArrivalQueue, _STANDING_CLOCK) if self._stands else (RedisQueue, _RUNNING_CLOCK)
        )
        return kind.connect(
            self.url,
            release=self._release,
            model="nano",
            shard=self.keys.shard,
            limits=self.limits,
            clock=clock,
        )


class _ArrivalQueue(RedisQueue):
    """Where the clock stands, each arrival moves it by a microsecond, as in the in-memory twin."""

    async def submit(self, submission: Submission) -> Submitted:
        """See `Producer.submit`."""
        await self._arrive()
        return await super().submit(submission)

    async def redrive(self, generation_ids: Sequence[str]) -> int:
        """See `Operator.redrive`."""
        await self._arrive()
        count = await super().redrive(generation_ids)
        await self._arrive(max(count - 1, 0))
        return count

    async def _arrive(self, count: int = 1) -> None:
        await self._redis.command("INCRBY", f"{self._keys.base}:test-clock", count)
