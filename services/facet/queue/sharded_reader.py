"""The log reader's side of a queue of several shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facet.queue.sharded_inboxes import ShardedInbox, cursors_of
from facet.queue.sharded_side import ShardedSide, ask
from facet.queue.shards import Shards
from facet.queue.values import Followed, Inbox, LogEntry


class ShardedReader(ShardedSide):
    """`facet.queue.port.Reader`. A follower has an inbox in each shard."""

    def __init__(self, shards: Shards) -> None:
        super().__init__(shards)
        self._inboxes: dict[str, ShardedInbox] = {}

    async def read(self, cursors: Mapping[str, int], *, limit: int) -> dict[str, list[LogEntry]]:
        """See `Reader.read`; what is in a shard that did not answer has no news."""
        groups = self._served(cursors, str)
        found = await ask(
            {
                shard: queue.read({name: cursors[name] for name in names}, limit=limit)
                for shard, (queue, names) in groups.items()
            }
        )
        return {name: entries for news in found.some().values() for name, entries in news.items()}

    async def follow(
        self, follower: str, positions: Mapping[str, int], *, received: str = ""
    ) -> dict[str, Followed]:
        """See `Reader.follow`; beside a shard that does not answer the others have renewed."""
        groups, cursors = self._served(positions, str), cursors_of(received)
        found = await ask(
            {
                shard: queue.follow(
                    follower,
                    {name: positions[name] for name in groups.get(shard, (queue, []))[1]},
                    received=cursors.get(shard, ""),
                )
                for shard, queue in self._shards.queues.items()
            }
        )
        followed = dict.fromkeys(positions, Followed(is_known=False, next_offset=0))
        for each in found.all().values():
            followed |= each
        return followed

    async def unfollow(self, follower: str, generation_ids: Sequence[str]) -> None:
        """See `Reader.unfollow`."""
        groups = self._served(generation_ids, str)
        found = await ask(
            {at: queue.unfollow(follower, names) for at, (queue, names) in groups.items()}
        )
        found.all()

    async def receive(self, follower: str, cursor: str, *, block_ms: int) -> Inbox:
        """See `Reader.receive`; fails only when no shard answers. One reader a follower."""
        inbox = self._inboxes.setdefault(follower, ShardedInbox(follower))
        return await inbox.receive(self._shards.queues, cursor, block_ms=block_ms)

    async def _stop_reading(self) -> None:
        for inbox in self._inboxes.values():
            await inbox.close()
