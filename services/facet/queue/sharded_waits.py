"""One worker's waits for work in several shards, as one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from facet.core.errors import StoreUnavailableError
from facet.core.tasks import cancel_all
from facet.queue.limits import MAX_WAIT_MS
from facet.queue.open_calls import OpenCalls
from facet.queue.port import Queue

_PATIENCE = 1.1
"""Calls that end a little late need not be taken up by the next wait."""


class ShardedWait:
    """Waits on all shards, with one blocking call each; a hint of any ends it.

    `hinted` are the shards whose hints were taken and not yet followed, `answered` those that
    answered at all. What arrives while nobody waits is passed on at once: other workers may be
    idle.
    """

    def __init__(self, worker: str) -> None:
        self.hinted: set[int] = set()
        self.answered: set[int] = set()
        self._worker = worker
        self._calls: OpenCalls[bool] = OpenCalls(self._pass_on)
        self._queues: Mapping[int, Queue] = {}
        self._passing: set[asyncio.Task[None]] = set()

    async def wait(self, queues: Mapping[int, Queue], timeout_ms: int) -> bool:
        """See `Consumer.wait_for_work`. Errors: StoreUnavailableError when no shard answers."""
        self._queues = queues
        loop = asyncio.get_running_loop()
        ends = loop.time() + min(timeout_ms, MAX_WAIT_MS) / 1000
        failed: set[int] = set()
        while (left_seconds := ends - loop.time()) > 0:
            await self._calls.keep(queues.keys())
            for shard, queue in queues.items():
                if not self._calls.is_open(shard):
                    left_ms = max(round(left_seconds * 1000), 1)
                    self._calls.open(shard, partial(queue.wait_for_work, self._worker, left_ms))
            # One call alone ends by its own time, which the store keeps to a tenth of a second.
            answers, failures = await self._calls.some(
                left_seconds * _PATIENCE, is_all=len(queues) == 1
            )
            self.answered |= answers.keys()
            self.hinted |= {shard for shard, is_hint in answers.items() if is_hint}
            if self.hinted:
                return True
            failed = (failed | failures.keys()) - answers.keys()
            if failures and failed >= queues.keys():
                raise next(iter(failures.values()))
        return False

    async def pass_on(self, shards: set[int]) -> None:
        """Post hints again that this worker took and cannot follow."""
        for shard in shards & self._queues.keys():
            # A hint that is lost costs others a bounded wait.
            with suppress(StoreUnavailableError):
                await self._queues[shard].pass_on_hint()

    async def close(self) -> None:
        """End the calls that are open."""
        await self._calls.keep(())
        await cancel_all(self._passing)

    def _pass_on(self, shard: int) -> None:
        if self._calls.take(shard):
            task = asyncio.create_task(self.pass_on({shard}))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)
