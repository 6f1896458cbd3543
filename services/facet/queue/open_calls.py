"""Blocking calls, one a shard, that stay open while their caller does something else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Generic, TypeVar

from facet.core.errors import StoreUnavailableError
from facet.core.tasks import cancel_all

RETRY_SECONDS = 0.25
"""Before a call to a shard that did not answer."""

_Answer = TypeVar("_Answer")


class OpenCalls(Generic[_Answer]):
    """A call that is waited for in vain goes on: to end it would cost its connection.

    `on_unclaimed` is told when one ends while nobody waits; otherwise the answer is kept.
    """

    def __init__(self, on_unclaimed: Callable[[int], None] = lambda _: None) -> None:
        self._on_unclaimed = on_unclaimed
        self._tasks: dict[int, asyncio.Task[_Answer]] = {}
        self._failed: set[int] = set()
        self._is_waiting = False

    def is_open(self, shard: int) -> bool:
        """Whether a call to a shard is under way, or its answer not taken yet."""
        return shard in self._tasks

    def open(self, shard: int, call: Callable[[], Coroutine[Any, Any, _Answer]]) -> None:
        """Begin a call; after a failure of the same shard only a moment later."""

        async def make() -> _Answer:
            if shard in self._failed:
                await asyncio.sleep(RETRY_SECONDS)
            return await call()

        task = asyncio.create_task(make())
        self._tasks[shard] = task
        task.add_done_callback(lambda _: self._ended(shard, task))

    async def some(
        self, seconds: float, *, is_all: bool = False
    ) -> tuple[dict[int, _Answer], dict[int, StoreUnavailableError]]:
        """Answers and failures by shard, as soon as there is one, or after the time.

        With `is_all` those of all calls, whenever they come.
        """
        self._is_waiting = True
        try:
            await asyncio.wait(
                self._tasks.values(),
                timeout=None if is_all else seconds,
                return_when=asyncio.ALL_COMPLETED if is_all else asyncio.FIRST_COMPLETED,
            )
            return self._take()
        finally:
            self._is_waiting = False
            # When the wait was cancelled.
            for shard, task in list(self._tasks.items()):
                if task.done():
                    self._on_unclaimed(shard)

    def take(self, shard: int) -> _Answer | None:
        """The answer of one call that has ended well, else None."""
        task = self._tasks[shard]
        if not task.done() or task.cancelled() or task.exception() is not None:
            return None
        del self._tasks[shard]
        return task.result()

    async def keep(self, shards: Collection[int]) -> None:
        """End the calls to all other shards."""
        ended = [self._tasks.pop(shard) for shard in self._tasks.keys() - shards]
        await cancel_all(ended)

    def _take(self) -> tuple[dict[int, _Answer], dict[int, StoreUnavailableError]]:
        answers: dict[int, _Answer] = {}
        failures: dict[int, StoreUnavailableError] = {}
        for shard, task in list(self._tasks.items()):
            if not task.done():
                continue
            del self._tasks[shard]
            try:
                answers[shard] = task.result()
                self._failed.discard(shard)
            except StoreUnavailableError as error:
                failures[shard] = error
                self._failed.add(shard)
        return answers, failures

    def _ended(self, shard: int, task: asyncio.Task[_Answer]) -> None:
        if not task.cancelled():
            # Taken note of; it is raised when the answer is taken.
            task.exception()
        if self._tasks.get(shard) is task and not self._is_waiting:
            self._on_unclaimed(shard)
