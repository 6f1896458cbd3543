"""Three shards as one queue, under a contract whose requests all name shard 0."""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, cast

from facet.core.errors import GenerationNotFoundError
from facet.queue.generation_id import shard_of
from facet.queue.limits import QueueLimits
from facet.queue.memory_queue import MemoryQueue
from facet.queue.memory_registry import MemoryRegistry, MemoryRegistryBooks
from facet.queue.port import Queue
from facet.queue.sharded_queue import ShardedQueue
from facet.queue.shards import Shards
from facet.queue.values import Submission, Submitted

SHARDS = 3
_NAMED = re.compile(r"g-\d+-")


class ShardWorld(Protocol):
    """The world of one shard."""

    @property
    def queue(self) -> Queue: ...

    async def restrict(self, limits: QueueLimits) -> None: ...

    async def advance(self, milliseconds: int) -> None: ...

    async def stored_names(self) -> set[str]: ...

    async def pass_arrival(self) -> None: ...


class ShardedWorld:
    """See `World`. Each request lies in the shard that its name, or its request id, tells."""

    def __init__(self, worlds: Sequence[ShardWorld], limits: QueueLimits) -> None:
        self.limits = limits
        self._worlds = worlds
        self._queue = self._connect()

    @property
    def queue(self) -> Queue:
        """See `World.queue`."""
        return self._queue

    async def restrict(self, limits: QueueLimits) -> None:
        """See `World.restrict`."""
        self.limits = limits
        for world in self._worlds:
            await world.restrict(limits)
        self._queue = self._connect()

    async def advance(self, milliseconds: int) -> None:
        """See `World.advance`."""
        for world in self._worlds:
            await world.advance(milliseconds)

    async def stored_names(self) -> set[str]:
        """See `World.stored_names`."""
        return {name for world in self._worlds for name in await world.stored_names()}

    def _open(self, shard: int) -> Queue:
        return self._worlds[shard].queue if shard < SHARDS else MemoryQueue(shard=shard)

    def _connect(self) -> Queue:
        registry = MemoryRegistry(MemoryRegistryBooks(), count=SHARDS)
        shards = Shards(registry, self._open, count=SHARDS)

        async def arrive(submission: Submission) -> None:
            home = shard_of(submission.generation_id)
            for shard, world in enumerate(self._worlds):
                if shard != home:
                    await world.pass_arrival()

        return cast("Queue", _Spread(ShardedQueue(shards), arrive))


class _Spread:
    """Renames the contract's requests on the way in, and back on the way out."""

    def __init__(self, queue: Queue, arrive: Callable[[Submission], Awaitable[None]]) -> None:
        self._queue = queue
        self._arrive = arrive
        self._names: dict[str, str] = {}

    async def submit(self, submission: Submission) -> Submitted:
        name = submission.generation_id
        if submission.request_id and name not in self._names:
            placed = await self._queue.name_generation(submission.tenant, submission.request_id)
            self._names[name] = _NAMED.sub(f"g-{shard_of(placed)}-", name)
        inside = dataclasses.replace(submission, generation_id=self._inside(name))
        await self._arrive(inside)
        return cast("Submitted", _outside(await self._queue.submit(inside)))

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._queue, name)

        async def renamed(*arguments: Any, **options: Any) -> Any:
            try:
                return _outside(await call(*_mapped(arguments, self._inside), **options))
            except GenerationNotFoundError as error:
                raise GenerationNotFoundError(_outside(str(error))) from error

        return renamed

    def _inside(self, text: str) -> str:
        if not text.startswith("g-0-"):
            return text
        shard = zlib.crc32(text.encode()) % SHARDS
        return self._names.setdefault(text, text.replace("g-0-", f"g-{shard}-", 1))


def _outside(value: Any) -> Any:
    return _mapped(value, lambda text: _NAMED.sub("g-0-", text))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """The value with all its texts changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_mapped(k, change): _mapped(v, change) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(each, change) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            f.name: _mapped(getattr(value, f.name), change) for f in dataclasses.fields(value)
        }
        return dataclasses.replace(value, **fields)
    return value
