"""The log reader's side of the queue in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facet.queue.codec import inbox_entry, log_entry
from facet.queue.redis_side import RedisSide, batches
from facet.queue.values import OLDEST, Followed, Inbox, LogEntry

_LOGS_PER_CALL = 16
"""A script call that reads more could take longer than scripts may."""

_ARRIVALS_PER_READ = 4096


class RedisReader(RedisSide):
    """`facet.queue.port.Reader`."""

    async def read(self, cursors: Mapping[str, int], *, limit: int) -> dict[str, list[LogEntry]]:
        """See `Reader.read`."""
        news: dict[str, list[LogEntry]] = {}
        for batch in batches(list(cursors.items()), _LOGS_PER_CALL):
            reply = await self._run("read", limit, *(part for each in batch for part in each))
            for (name, _), entries in zip(batch, reply, strict=True):
                if entries:
                    news[name] = [log_entry(entry, fields) for entry, fields in entries]
        return news

    async def follow(
        self, follower: str, positions: Mapping[str, int], *, received: str = ""
    ) -> dict[str, Followed]:
        """See `Reader.follow`."""
        followed: dict[str, Followed] = {}
        for batch in list(batches(list(positions.items()))) or [()]:
            pairs = (part for each in batch for part in each)
            cursor = "" if received == OLDEST else received
            reply = await self._run("follow", follower, cursor, *pairs)
            for (name, _), known, offset in zip(batch, reply[::2], reply[1::2], strict=True):
                followed[name] = Followed(bool(known), offset)
        return followed

    async def unfollow(self, follower: str, generation_ids: Sequence[str]) -> None:
        """See `Reader.unfollow`."""
        for batch in batches(generation_ids):
            await self._run("unfollow", follower, *batch)

    async def receive(self, follower: str, cursor: str, *, block_ms: int) -> Inbox:
        """See `Reader.receive`."""
        key = self._keys.of("inbox", follower)
        block = ("BLOCK", block_ms) if block_ms > 0 else ()
        reply = await self._redis.block(
            max(block_ms, 0), "XREAD", "COUNT", _ARRIVALS_PER_READ, *block, "STREAMS", key, cursor
        )
        if not reply:
            return Inbox(cursor, ())
        ((_, arrived),) = reply
        is_full = len(arrived) == _ARRIVALS_PER_READ
        # Nothing is missing before an entry that stands for what was received.
        if is_full and arrived[0][1][0] == b"i" and await self._has_overflown(key, cursor):
            newest = await self._redis.command("XREVRANGE", key, "+", "-", "COUNT", 1)
            return Inbox(newest[0][0].decode() if newest else OLDEST, (), has_overflown=True)
        # Entries without content are nobody's.
        entries = tuple(inbox_entry(fields) for _, fields in arrived if fields[0] == b"i")
        return Inbox(arrived[-1][0].decode(), entries)

    async def _has_overflown(self, key: str, cursor: str) -> bool:
        """Whether all that is kept came after the cursor, so that what came between may be gone."""
        if cursor == OLDEST:
            return False
        return not await self._redis.command("XRANGE", key, "-", cursor, "COUNT", 1)
