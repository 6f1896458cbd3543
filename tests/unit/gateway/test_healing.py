"""What becomes of streams whose request the store forgot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from facet.core.errors import LogLostError, StoreUnavailableError
from facet.gateway.log_reader import LogReader
from facet.gateway.subscription import Origin
from facet.queue.memory_queue import MemoryQueue
from facet.queue.port import Claim, Inbox, Priority, Submission, Submitted
from tests.unit.gateway.events import TENANT

pytestmark = pytest.mark.unit


class FailingOver(MemoryQueue):
    """Its inboxes break once, as a connection to a server that died."""

    def __init__(self) -> None:
        super().__init__()
        self.breaks = asyncio.Event()
        self.has_two = asyncio.Event()

    async def submit(self, submission: Submission) -> Submitted:
        submitted = await super().submit(submission)
        if (await self.depth()).waiting == 2:
            self.has_two.set()
        return submitted

    async def receive(self, follower: str, cursor: str, *, block_ms: int) -> Inbox:
        if self.breaks.is_set():
            self.breaks.clear()
            raise StoreUnavailableError("away")
        return await super().receive(follower, cursor, block_ms=20)


def _submission(name: str) -> Submission:
    return Submission(name, TENANT, b"envelope", Priority.STANDARD, 60_000, 60_000, 10_000)


@asynccontextmanager
async def _running(reader: LogReader) -> AsyncIterator[None]:
    task = asyncio.create_task(reader.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_request_is_queued_again_when_a_failover_lost_it() -> None:
    queue = FailingOver()
    reader = LogReader(queue)
    kept = await queue.submit(_submission("g-kept"))
    origin = Origin(_submission("g-lost"), kept.origin, time.monotonic() + 30)
    async with _running(reader):
        with reader.subscribe("g-lost", origin=origin):
            queue.breaks.set()
            async with asyncio.timeout(5):
                await queue.has_two.wait()
    claimed = (await queue.claim(Claim("w", "n", 2, 0, "f"))).claimed
    assert [each.lease.generation_id for each in claimed] == ["g-kept", "g-lost"]
    assert 0 < claimed[1].remaining_ms <= 30_000


@pytest.mark.parametrize("store", ["", "another"])
async def test_loss_is_told_when_the_store_came_back_as_another(store: str) -> None:
    queue = FailingOver()
    reader = LogReader(queue)
    if store:
        await queue.submit(_submission("g-new"))
    origin = Origin(_submission("g-lost"), "that-was", time.monotonic() + 30)
    async with _running(reader):
        with reader.subscribe("g-lost", origin=origin) as subscription:
            queue.breaks.set()
            with pytest.raises(LogLostError) as caught:
                assert await subscription.next(5) is None
    assert caught.value.metadata == {"generation_id": "g-lost", "next_offset": "0"}
