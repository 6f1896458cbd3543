"""What all sides of a queue of several shards share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from facet.core.errors import StoreUnavailableError
from facet.queue.answers import not_found
from facet.queue.generation_id import shard_of
from facet.queue.port import Queue
from facet.queue.shards import Shards

_Answer = TypeVar("_Answer")
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Answers(Generic[_Answer]):
    """What shards answered, and those that did not."""

    found: Mapping[int, _Answer]
    failures: Mapping[int, StoreUnavailableError]

    def all(self) -> Mapping[int, _Answer]:
        """All answers. Errors: StoreUnavailableError when one is missing."""
        for failure in self.failures.values():
            raise failure
        return self.found

    def some(self) -> Mapping[int, _Answer]:
        """The answers that came. Errors: StoreUnavailableError when none of those asked for did."""
        return self.found if self.found else self.all()


async def ask(calls: Mapping[int, Coroutine[Any, Any, _Answer]]) -> Answers[_Answer]:
    """Make one call to each of several shards, all at once; one alone is simply made."""
    found: dict[int, _Answer] = {}
    failures: dict[int, StoreUnavailableError] = {}

    async def make(shard: int, call: Coroutine[Any, Any, _Answer]) -> None:
        try:
            found[shard] = await call
        except StoreUnavailableError as error:
            failures[shard] = error

    made = [make(shard, call) for shard, call in calls.items()]
    if len(made) == 1:
        await made[0]
    else:
        await asyncio.gather(*made)
    return Answers(found, failures)


class ShardedSide:
    """The shards; the sides are mixed into `ShardedQueue`."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    @property
    def _first(self) -> Queue:
        """Shard 0: what belongs to no request is kept there."""
        return self._shards.queues[0]

    async def _shard(self, generation_id: str) -> Queue:
        """The queue that a generation is in. Errors: GenerationNotFoundError."""
        queue = await self._shards.find(shard_of(generation_id))
        if queue is None:
            raise not_found(generation_id)
        return queue

    async def _ask_all(
        self, call: Callable[[Queue], Coroutine[Any, Any, _Answer]]
    ) -> Answers[_Answer]:
        return await ask({shard: call(queue) for shard, queue in self._shards.queues.items()})

    def _served(
        self, items: Iterable[_Item], name_of: Callable[[_Item], str]
    ) -> dict[int, tuple[Queue, list[_Item]]]:
        """Items by the shard of their generation, in order; those of no served shard left out."""
        queues = self._shards.queues
        groups: dict[int, tuple[Queue, list[_Item]]] = {}
        for item in items:
            shard = shard_of(name_of(item))
            if shard in queues:
                groups.setdefault(shard, (queues[shard], []))[1].append(item)
        return groups
