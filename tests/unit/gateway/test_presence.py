"""Presence is renewed for exactly those who follow."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from facet.core.errors import StoreUnavailableError
from facet.gateway import presence as presence_module
from facet.gateway.log_reader import LogReader
from facet.gateway.presence import ReaderPresence
from facet.queue.limits import QueueLimits
from facet.queue.memory_queue import MemoryQueue
from tests.support.conditions import until

pytestmark = pytest.mark.unit


class TouchedQueue(MemoryQueue):
    """Records renewals; the first ones fail if told so."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.touched: list[list[str]] = []
        self._failures = failures

    async def touch_readers(self, generation_ids: Sequence[str]) -> None:
        self.touched.append(list(generation_ids))
        if len(self.touched) <= self._failures:
            raise StoreUnavailableError("away")


async def _run(queue: TouchedQueue, reader: LogReader, grace_seconds: float, count: int) -> None:
    presence = ReaderPresence(queue, reader, grace_seconds=grace_seconds)
    task = asyncio.create_task(presence.run())

    async def touched() -> bool:
        return len(queue.touched) >= count

    try:
        await until(touched)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_all_followed_are_renewed_in_one_call_when_the_time_comes() -> None:
    queue = TouchedQueue()
    reader = LogReader(queue)
    with reader.subscribe("a"), reader.subscribe("a"), reader.subscribe("b"):
        await _run(queue, reader, 0.06, 3)
    assert queue.touched[:3] == [["a", "b"]] * 3


async def test_nothing_is_renewed_when_nobody_follows() -> None:
    queue = TouchedQueue()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await ReaderPresence(queue, LogReader(queue), grace_seconds=0.01).run()
    assert queue.touched == []


async def test_renewal_comes_within_a_lease_time_when_the_grace_is_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert QueueLimits().lease_ms >= presence_module.MAX_INTERVAL_SECONDS * 1000
    monkeypatch.setattr(presence_module, "MAX_INTERVAL_SECONDS", 0.01)
    queue = TouchedQueue()
    reader = LogReader(queue)
    with reader.subscribe("a"):
        await _run(queue, reader, 3600, 3)


async def test_renewal_is_repeated_soon_when_the_store_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence_module, "RETRY_SECONDS", 0.01)
    queue = TouchedQueue(failures=2)
    reader = LogReader(queue)
    with reader.subscribe("a"):
        await _run(queue, reader, 3600, 3)
    assert queue.touched[:3] == [["a"]] * 3
