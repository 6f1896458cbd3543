"""What a gateway reads of a queue's logs, for all live streams together."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from facet.core.errors import StoreUnavailableError
from facet.gateway.healing import Healing
from facet.gateway.subscription import Origin, Subscription
from facet.queue.port import Queue
from facet.queue.values import OLDEST, Inbox

BUFFER_BYTES = 256 * 1024
BLOCK_MS = 1000
ENTRIES_PER_READ = 64
LOGS_PER_READ = 64
RETRY_SECONDS = 0.25
FOLLOWS_PER_GRACE = 3
# After an outage the store takes nobody for gone until all had one lease time to renew.
MAX_FOLLOW_SECONDS = 3.0

_log = structlog.get_logger(__name__)


class LogReader:
    """Follows the logs of all subscribers through one inbox.

    What arrives there is passed on as it comes. A subscriber that misses something (it just came,
    its buffer was full, the inbox overflowed, the store was away) is brought up from the log
    itself. One with a full buffer is left out until it has room, so a stalled client costs its
    buffer and nothing more. While the store is away, streams are held and go on afterwards.
    """

    def __init__(
        self, queue: Queue, *, grace_seconds: float = 10.0, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        self.follower = secrets.token_hex(8)
        self._queue = queue
        self._buffer_bytes = buffer_bytes
        self._follow_seconds = min(grace_seconds / FOLLOWS_PER_GRACE, MAX_FOLLOW_SECONDS)
        self._healing = Healing(queue, self.follower)
        self._subscriptions: dict[str, list[Subscription]] = {}
        self._behind: dict[Subscription, None] = {}
        self._left: dict[str, None] = {}
        # Where the logs ended when their following was renewed last.
        self._followed: dict[str, int] = {}
        self._follow_due = 0.0
        self._cursor = OLDEST
        self._is_store_away = False
        self._somebody_reads = asyncio.Event()
        self._somebody_is_behind = asyncio.Event()
        self._follow_at_once = asyncio.Event()

    @contextmanager
    def subscribe(
        self, generation_id: str, from_offset: int = 0, *, origin: Origin | None = None
    ) -> Iterator[Subscription]:
        """Follow one log while the context is open. Safe to use more than once for one id.

        `origin` is given for requests that this gateway queued; the store has them in the inbox's
        list already.
        """
        subscription = Subscription(
            generation_id,
            from_offset=from_offset,
            buffer_bytes=self._buffer_bytes,
            on_room=lambda: self._catch_up(subscription),
            origin=origin,
        )
        peers = self._subscriptions.setdefault(generation_id, [])
        peers.append(subscription)
        self._somebody_reads.set()
        if origin is None:
            self._follow_at_once.set()
        self._catch_up(subscription)
        try:
            yield subscription
        finally:
            peers.remove(subscription)
            self._behind.pop(subscription, None)
            if not peers:
                del self._subscriptions[generation_id]
                if not subscription.is_over:
                    self._left[generation_id] = None
                    self._follow_at_once.set()
            if not self._subscriptions:
                self._somebody_reads.clear()

    def has_readers(self, generation_id: str) -> bool:
        """Whether anybody here follows its log."""
        return generation_id in self._subscriptions

    def drain(self) -> None:
        """End all subscriptions, see `Subscription.drain`."""
        for subscription in self._all():
            subscription.drain()

    async def run(self) -> None:
        """Read for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_loop())
            tasks.create_task(self._receive_loop())
            tasks.create_task(self._catch_up_loop())

    def _all(self) -> Iterable[Subscription]:
        return [each for peers in self._subscriptions.values() for each in peers]

    def _catch_up(self, subscription: Subscription) -> None:
        self._behind[subscription] = None
        self._somebody_is_behind.set()

    # Following: the store knows what goes in the inbox, and that there are readers

    async def _follow_loop(self) -> None:
        while True:
            self._follow_at_once.clear()
            try:
                await self._follow()
            except StoreUnavailableError as error:
                self._note_outage(error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                async with asyncio.timeout(max(0.0, self._follow_due - time.monotonic())):
                    await self._follow_at_once.wait()
            except TimeoutError:
                continue

    async def _follow(self) -> None:
        """Renew all that is followed when that is due, else begin with what is new."""
        was_away, self._is_store_away = self._is_store_away, False
        if was_away:
            for subscription in self._all():
                subscription.recheck()
                self._catch_up(subscription)
        is_due = was_away or time.monotonic() >= self._follow_due
        peers = {
            name: {peer: peer.read_offset for peer in peers}
            for name, peers in self._subscriptions.items()
            if (is_due or name not in self._followed) and not all(each.is_over for each in peers)
        }
        positions = {name: min(each.next_offset for each in read) for name, read in peers.items()}
        received = self._cursor if is_due else ""
        followed = await self._queue.follow(self.follower, positions, received=received)
        await self._unfollow()
        missing: list[Subscription] = []
        for name, state in followed.items():
            subscribed = {peer: read for peer, read in peers[name].items() if self._has(peer)}
            if state.is_known:
                self._compare(name, state.next_offset, subscribed)
            else:
                missing += subscribed
        if is_due:
            self._follow_due = time.monotonic() + self._follow_seconds
            self._followed = {name: state.next_offset for name, state in followed.items()}
            await self._healing.look_after(missing)
        else:
            self._followed |= {name: state.next_offset for name, state in followed.items()}

    async def _unfollow(self) -> None:
        left = [name for name in self._left if name not in self._subscriptions]
        if left:
            await self._queue.unfollow(self.follower, left)
        for name in left:
            self._left.pop(name, None)
            self._followed.pop(name, None)

    def _compare(self, name: str, log_end: int, peers: Mapping[Subscription, int]) -> None:
        """Look for peers that miss something: what they had read before the store told the end."""
        # What was logged since the last time may still lie in the inbox.
        expected = min(self._followed.get(name, log_end), log_end)
        for peer, read_offset in peers.items():
            if log_end < read_offset:
                peer.recheck()
                self._catch_up(peer)
            elif peer.wanted_offset < expected and peer.wants_more:
                self._catch_up(peer)

    # Receiving: what is written arrives in the inbox

    async def _receive_loop(self) -> None:
        while True:
            await self._somebody_reads.wait()
            try:
                inbox = await self._queue.receive(self.follower, self._cursor, block_ms=BLOCK_MS)
            except StoreUnavailableError as error:
                self._note_outage(error)
                # Another inbox may count from another time; what it repeats is left out.
                self._cursor = OLDEST
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._cursor = inbox.cursor
            if inbox.has_overflown:
                for subscription in self._all():
                    self._catch_up(subscription)
            self._route(inbox)
            if not inbox.entries:
                # Nothing at all for a while: perhaps the inbox is gone, or logs do not go there.
                self._follow_due = 0.0
                self._follow_at_once.set()

    def _route(self, inbox: Inbox) -> None:
        for entry in inbox.entries:
            for peer in self._subscriptions.get(entry.generation_id, ()):
                if entry.is_terminal:
                    # What has ended is not queued anew when it is forgotten.
                    peer.origin = None
                if peer.is_full:
                    # It is caught up when it has room.
                    continue
                if entry.first_offset > peer.wanted_offset:
                    self._catch_up(peer)
                peer.push([entry])

    # Catching up: what a subscriber misses stands in the log

    async def _catch_up_loop(self) -> None:
        while True:
            await self._somebody_is_behind.wait()
            behind = [peer for peer in self._behind if peer.wants_more][:LOGS_PER_READ]
            if not behind:
                # Those with a full buffer come back when they have room.
                self._behind.clear()
                self._somebody_is_behind.clear()
                continue
            for peer in behind:
                # Before the read: who misses something during it is behind once more.
                del self._behind[peer]
            try:
                await self._bring_up(behind)
            except StoreUnavailableError as error:
                self._behind |= dict.fromkeys(filter(self._has, behind))
                self._note_outage(error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _bring_up(self, behind: list[Subscription]) -> None:
        wanted: dict[str, int] = {}
        for peer in behind:
            name = peer.generation_id
            wanted[name] = min(wanted.get(name, peer.wanted_offset), peer.wanted_offset)
        news = await self._queue.read(wanted, limit=ENTRIES_PER_READ)
        for peer in behind:
            entries = news.get(peer.generation_id, [])
            peer.push(entries)
            if len(entries) < ENTRIES_PER_READ:
                peer.close_gap()
            elif self._has(peer):
                # Full pages may have more behind them.
                self._behind[peer] = None

    def _has(self, peer: Subscription) -> bool:
        return peer in self._subscriptions.get(peer.generation_id, ())

    def _note_outage(self, error: StoreUnavailableError) -> None:
        if not self._is_store_away:
            _log.warning("streams are held: the store is away", cause=repr(error.__cause__))
        self._is_store_away = True
        self._follow_at_once.set()
