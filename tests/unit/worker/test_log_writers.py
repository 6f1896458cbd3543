"""Logs of several shards are written beside one another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from facet.core.tasks import cancel_all
from facet.queue.generation_id import shard_of
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import Append, Finish, Lease, Verdict, WriteResult
from facet.worker.log_writer import Entry
from facet.worker.log_writers import LogWriters

pytestmark = pytest.mark.unit


class HangingQueue(MemoryQueue):
    """Shard 0 never answers; `batches` are the shards of each write."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[set[int]] = []

    async def write(self, writes: Sequence[Append | Finish]) -> list[WriteResult]:
        shards = {shard_of(write.lease.generation_id) for write in writes}
        self.batches.append(shards)
        if 0 in shards:
            await asyncio.Event().wait()
        return [WriteResult(Verdict.OK, each.expected_offset + each.event_count) for each in writes]


async def test_others_are_written_when_one_shard_hangs() -> None:
    queue = HangingQueue()
    writers = LogWriters(queue)
    running = asyncio.create_task(writers.run())
    logs = [writers.open(Lease(f"g-{shard}-1", 1, "nonce"), 0) for shard in (0, 1, 0, 2)]
    try:
        for log in logs:
            log.append(Entry(b"event", 1))
        async with asyncio.timeout(5):
            await asyncio.gather(logs[1].drained.wait(), logs[3].drained.wait())
        late = writers.open(Lease("g-1-2", 1, "nonce"), 0)
        late.append(Entry(b"event", 1))
        async with asyncio.timeout(5):
            await late.drained.wait()
        assert not logs[0].drained.is_set()
        assert all(len(shards) == 1 for shards in queue.batches)
    finally:
        await cancel_all([running])
