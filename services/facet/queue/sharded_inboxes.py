"""One follower's inboxes in several shards, read as one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from facet.queue.open_calls import OpenCalls
from facet.queue.port import Queue
from facet.queue.values import OLDEST, Inbox, InboxEntry

_SLACK_SECONDS = 0.1
"""What is there already is brought although the call took longer than it was to block."""


class ShardedInbox:
    """Waits on all shards, with one blocking call each.

    Its cursors are those of the shards, as `shard=cursor` joined by spaces.
    """

    def __init__(self, follower: str) -> None:
        self._follower = follower
        self._calls: OpenCalls[Inbox] = OpenCalls()
        self._asked_from: dict[int, str] = {}

    async def receive(self, queues: Mapping[int, Queue], cursor: str, *, block_ms: int) -> Inbox:
        """See `Reader.receive`. Errors: StoreUnavailableError when no shard answers."""
        cursors = cursors_of(cursor)
        loop = asyncio.get_running_loop()
        ends = loop.time() + max(block_ms, 0) / 1000
        failed: set[int] = set()
        while True:
            left_seconds = ends - loop.time()
            await self._open(queues, cursors, max(round(left_seconds * 1000), 0))
            patience_seconds = max(left_seconds, 0) + _SLACK_SECONDS
            # One call alone ends by its own time.
            answers, failures = await self._calls.some(
                patience_seconds, is_all=block_ms <= 0 or len(queues) == 1
            )
            entries: list[InboxEntry] = []
            has_overflown = any(inbox.has_overflown for inbox in answers.values())
            for shard, inbox in answers.items():
                cursors[shard] = inbox.cursor
                entries += inbox.entries
            for shard in failures:
                # Another inbox may count from another time.
                cursors[shard] = OLDEST
            failed = (failed | failures.keys()) - answers.keys()
            if failures and failed >= queues.keys():
                raise next(iter(failures.values()))
            if entries or has_overflown or loop.time() >= ends:
                return Inbox(_joined(cursors), tuple(entries), has_overflown)

    async def close(self) -> None:
        """End the calls that are open."""
        await self._calls.keep(())

    async def _open(self, queues: Mapping[int, Queue], cursors: dict[int, str], ms: int) -> None:
        wanted = {shard: cursors.get(shard, OLDEST) for shard in queues}
        # A reader that went back reads again.
        await self._calls.keep(
            {at for at, cursor in wanted.items() if self._asked_from.get(at) == cursor}
        )
        for shard, queue in queues.items():
            if not self._calls.is_open(shard):
                self._asked_from[shard] = wanted[shard]
                receive = partial(queue.receive, self._follower, wanted[shard], block_ms=ms)
                self._calls.open(shard, receive)


def cursors_of(cursor: str) -> dict[int, str]:
    """Cursors by shard; those that are not named are at the oldest."""
    pairs = (part.partition("=") for part in cursor.split() if "=" in part)
    return {int(shard): at for shard, _, at in pairs}


def _joined(cursors: Mapping[int, str]) -> str:
    return " ".join(f"{shard}={at}" for shard, at in cursors.items()) or OLDEST
