"""The queue in Redis with a clock that the test moves."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from facet.queue.keys import Keys
from facet.queue.limits import QueueLimits
from facet.queue.redis_queue import RedisQueue
from tests.support.queue_contract.memory_world import LIMITS

_CLOCK = """
local function now_us()
  local time = redis.call('TIME')
  local ahead = tonumber(redis.call('GET', base .. ':test-clock') or 0)
  return time[1] * 1000000 + time[2] + ahead * 1000
end"""


class RedisWorld:
    """See `World`."""

    def __init__(self, url: str, release: str, limits: QueueLimits = LIMITS) -> None:
        self.limits = limits
        self._queue = RedisQueue.connect(
            url, release=release, model="nano", limits=limits, clock=_CLOCK
        )
        self.url = url
        self.keys = Keys(release, "nano")
        self.redis: Any = Redis.from_url(url, protocol=2, driver_info=None)

    @property
    def queue(self) -> RedisQueue:
        """See `World.queue`."""
        return self._queue

    async def advance(self, milliseconds: int) -> None:
        """See `World.advance`."""
        await self.redis.incrby(f"{self.keys.base}:test-clock", milliseconds)
        for key in await self.all_keys():
            left_ms = await self.redis.pttl(key)
            if left_ms >= 0:
                await self.redis.pexpire(key, left_ms - milliseconds)

    async def all_keys(self) -> list[str]:
        """All keys of this queue."""
        return [key.decode() async for key in self.redis.scan_iter(f"{self.keys.base}:*", 1000)]

    async def stored_names(self) -> set[str]:
        """See `World.stored_names`: every key that belongs to one request."""
        families = ("record", "envelope", "log", "ids", "idem")
        prefixes = tuple(self.keys.of(family, "") for family in families)
        return {key for key in await self.all_keys() if key.startswith(prefixes)}

    async def close(self) -> None:
        """Close all connections."""
        await self.queue.close()
        await self.redis.aclose(close_connection_pool=True)
