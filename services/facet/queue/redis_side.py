"""What all sides of the queue in Redis share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from facet.core.errors import FacetError
from facet.queue.answers import no_memory
from facet.queue.connection import Argument, RedisConnection
from facet.queue.keys import Keys
from facet.queue.limits import MAX_BATCH, QueueLimits
from facet.queue.lua import Script

_Item = TypeVar("_Item")


class RedisSide:
    """One connection and one set of scripts; the sides are mixed into `RedisQueue`."""

    def __init__(
        self,
        connection: RedisConnection,
        keys: Keys,
        limits: QueueLimits,
        scripts: Mapping[str, Script],
    ) -> None:
        self._redis = connection
        self._keys = keys
        self._limits = limits
        self._scripts = scripts

    async def _run(
        self,
        script: str,
        *arguments: Argument,
        out_of_memory: Callable[[], FacetError] = no_memory,
    ) -> Any:
        return await self._redis.run(self._scripts[script], *arguments, out_of_memory=out_of_memory)

    async def _run_replicated(
        self,
        script: str,
        *arguments: Argument,
        replicas: int,
        out_of_memory: Callable[[], FacetError] = no_memory,
    ) -> tuple[Any, int]:
        """See `RedisConnection.run_replicated`; without `replicas` it waits for none."""
        if not replicas:
            return await self._run(script, *arguments, out_of_memory=out_of_memory), 0
        return await self._redis.run_replicated(
            self._scripts[script], *arguments, replicas=replicas, out_of_memory=out_of_memory
        )


def batches(items: Sequence[_Item], size: int = MAX_BATCH) -> Iterator[Sequence[_Item]]:
    """The items in groups that one script call may handle."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
