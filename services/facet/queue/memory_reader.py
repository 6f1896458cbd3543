"""The log reader's side of the in-memory twin."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from facet.queue.memory_inbox import joined
from facet.queue.memory_side import MemorySide
from facet.queue.values import Followed, Inbox, LogEntry, State


class MemoryReader(MemorySide):
    """`facet.queue.port.Reader`."""

    async def read(self, cursors: Mapping[str, int], *, limit: int) -> dict[str, list[LogEntry]]:
        """See `Reader.read`."""
        news = {name: self._from(name, offset, limit) for name, offset in cursors.items()}
        return {name: entries for name, entries in news.items() if entries}

    async def follow(
        self, follower: str, positions: Mapping[str, int], *, received: str = ""
    ) -> dict[str, Followed]:
        """See `Reader.follow`."""
        self._ledger.inboxes.keep(follower, self._ledger.clock_ms(), received)
        self._tell()
        followed = {}
        for name, offset in positions.items():
            record = self._ledger.find(name)
            if record and record.state is not State.ENDED:
                self._ledger.set_timer(record)
                record.followers = joined(record.followers, follower)
                record.read_offset = offset
            elif record and record.submission.is_fleeting:
                record.followers = joined(record.followers, follower)
            followed[name] = Followed(record is not None, record.next_offset if record else 0)
        return followed

    async def unfollow(self, follower: str, generation_ids: Sequence[str]) -> None:
        """See `Reader.unfollow`."""
        for name in generation_ids:
            record = self._ledger.find(name)
            if record:
                record.followers = [each for each in record.followers if each != follower]

    async def receive(self, follower: str, cursor: str, *, block_ms: int) -> Inbox:
        """See `Reader.receive`."""
        ends = asyncio.get_running_loop().time() + max(block_ms, 0) / 1000
        while True:
            arrived = self._ledger.inboxes.after(follower, cursor, self._ledger.clock_ms())
            if arrived is not None:
                return arrived
            if block_ms <= 0 or not await self._changes_before(ends):
                return Inbox(cursor, ())

    def _from(self, generation_id: str, offset: int, limit: int) -> list[LogEntry]:
        record = self._ledger.find(generation_id)
        entries = record.log if record else []
        return [each for each in entries if each.first_offset + each.event_count > offset][:limit]
