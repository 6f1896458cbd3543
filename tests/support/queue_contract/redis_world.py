"""The queue in Redis with a clock that the test moves: all stored times are moved the other way."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from facet.queue.keys import Keys
from facet.queue.limits import QueueLimits
from facet.queue.redis_queue import RedisQueue
from tests.support.queue_contract.memory_world import LIMITS

_TIME_SETS = ("leases", "deadlines", "readers", "dead", "workers")
_RECORD_TIMES = ("born", "due", "score")
_SWEEPER_TIMES = ("swept", "hold")


class RedisWorld:
    """See `World`."""

    def __init__(self, url: str, release: str, limits: QueueLimits = LIMITS) -> None:
        self.limits = limits
        self._queue = RedisQueue.connect(url, release=release, model="nano", limits=limits)
        self.url = url
        self.keys = Keys(release, "nano")
        self.redis: Any = Redis.from_url(url, protocol=2, driver_info=None)

    @property
    def queue(self) -> RedisQueue:
        """See `World.queue`."""
        return self._queue

    async def advance(self, milliseconds: int) -> None:
        """See `World.advance`."""
        lanes = [self.keys.of("lane", name.decode()) for name in await self._lanes()]
        for key in [*map(self.keys.single, _TIME_SETS), *lanes]:
            for member in await self.redis.zrange(key, 0, -1):
                await self.redis.zincrby(key, -milliseconds, member)
        await self._shift(self.keys.single("state"), _SWEEPER_TIMES, milliseconds)
        for key in await self.all_keys():
            if key.startswith(self.keys.of("record", "")):
                await self._shift(key, _RECORD_TIMES, milliseconds)
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

    async def _lanes(self) -> set[bytes]:
        lanes: set[bytes] = await self.redis.smembers(self.keys.single("lanes"))
        return lanes

    async def _shift(self, key: str, fields: tuple[str, ...], milliseconds: int) -> None:
        for field in fields:
            if await self.redis.hexists(key, field):
                await self.redis.hincrby(key, field, -milliseconds)
