"""The queue in Redis: one script a call, so that every change is atomic."""

from __future__ import annotations

from typing import Self

from facet.queue.connection import RedisConnection
from facet.queue.keys import Keys
from facet.queue.limits import QueueLimits
from facet.queue.redis_consumer import RedisConsumer
from facet.queue.redis_operator import RedisOperator
from facet.queue.redis_producer import RedisProducer
from facet.queue.redis_reader import RedisReader
from facet.queue.store import Store


class RedisQueue(RedisProducer, RedisReader, RedisConsumer, RedisOperator):
    """`facet.queue.port.Queue` over one Redis; see the port for the contract of each call.

    Calls fail with StoreUnavailableError within 2 s (blocking ones within their block time and
    2 s) and work again as soon as the server does.
    """

    @classmethod
    def connect(
        cls,
        store: Store | str,
        *,
        release: str,
        model: str,
        shard: int = 0,
        limits: QueueLimits | None = None,
        clock: str | None = None,
    ) -> Self:
        """One shard's queue in a store, or the one at a URL.

        Connects with the first call: the server need not run yet.

        `clock` replaces the scripts' definition of the store's time, see `facet.queue.lua`.
        Errors: ValueError when release or model cannot be part of a key.
        """
        keys = Keys(release, model, shard)
        return cls(RedisConnection(store, keys.base), keys, limits or QueueLimits(), clock)

    async def close(self) -> None:
        """See `Queue.close`."""
        await self._redis.close()
