"""A model's queue over all its shards, each of which is a queue by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from facet.core.tasks import cancel_all
from facet.queue.limits import QueueLimits
from facet.queue.port import Queue
from facet.queue.redis_queue import RedisQueue
from facet.queue.registry import RedisRegistry
from facet.queue.sharded_consumer import ShardedConsumer
from facet.queue.sharded_operator import ShardedOperator
from facet.queue.sharded_producer import ShardedProducer
from facet.queue.sharded_reader import ShardedReader
from facet.queue.shards import Shards
from facet.queue.store import Store


class ShardedQueue(ShardedProducer, ShardedReader, ShardedConsumer, ShardedOperator):
    """`facet.queue.port.Queue` over the shards that are served.

    With one shard each call is the one call to it. Order, fairness, bounds and the store's history
    are those of each shard; see `docs/adr/0009`.
    """

    async def close(self) -> None:
        """See `Queue.close`."""
        await self._stop_reading()
        await self._stop_waiting()
        await self._shards.close()


@asynccontextmanager
async def sharded_queue(
    store: Store | str,
    *,
    release: str,
    model: str,
    limits: QueueLimits | None = None,
    count: int = 0,
) -> AsyncIterator[Queue]:
    """A model's queue in a store, or the one at a URL.

    It follows the registry of its shards until the context ends.

    `count` is over how many shards this process places new requests; 0 for one that places none.
    Errors: ValueError when release or model cannot be part of a key.
    """
    registry = RedisRegistry.connect(store, release=release, model=model, count=count)
    connect = partial(RedisQueue.connect, store, release=release, model=model, limits=limits)
    shards = Shards(registry, lambda shard: connect(shard=shard), count=count)
    queue = ShardedQueue(shards)
    following = asyncio.create_task(shards.run())
    try:
        yield queue
    finally:
        await cancel_all([following])
        await queue.close()
