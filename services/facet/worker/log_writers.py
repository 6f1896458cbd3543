"""A log writer for each shard: one that hangs holds up no other's streams."""

from __future__ import annotations

import asyncio

from facet.queue.generation_id import shard_of
from facet.queue.port import Consumer
from facet.queue.values import Lease
from facet.worker.log_writer import LogWriter, RunLog


class LogWriters:
    """Makes a writer when the first log of its shard is opened; see `LogWriter`."""

    def __init__(self, queue: Consumer, *, patience_seconds: float = 30.0) -> None:
        self._queue = queue
        self._patience_seconds = patience_seconds
        self._writers: dict[int, LogWriter] = {}
        self._new: asyncio.Queue[LogWriter] = asyncio.Queue()

    def open(self, lease: Lease, next_offset: int) -> RunLog:
        """The log of a request that was just claimed."""
        shard = shard_of(lease.generation_id)
        writer = self._writers.get(shard)
        if writer is None:
            writer = LogWriter(self._queue, patience_seconds=self._patience_seconds)
            self._writers[shard] = writer
            self._new.put_nowait(writer)
        return writer.open(lease, next_offset)

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                writer = await self._new.get()
                tasks.create_task(writer.run())
