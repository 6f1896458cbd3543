"""The one task of a gateway that reads a queue's logs, for all live streams together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from facet.core.errors import StoreUnavailableError
from facet.gateway.subscription import Subscription
from facet.queue.port import LogEntry, Reader

BUFFER_BYTES = 256 * 1024
BLOCK_MS = 1000
ENTRIES_PER_READ = 64
RETRY_SECONDS = 0.25

_log = structlog.get_logger(__name__)


class LogReader:
    """Multiplexes the logs of all subscribers through one `Reader`.

    A subscriber whose buffer is full is left out of the reads, so a stalled client costs its buffer
    and nothing more. While the store is away, streams are held and go on afterwards. Nothing is
    read while nobody subscribes.
    """

    def __init__(self, queue: Reader, *, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._queue = queue
        self._buffer_bytes = buffer_bytes
        self._subscriptions: dict[str, list[Subscription]] = {}
        self._is_reading = False
        self._changed = asyncio.Event()
        self._interrupt_wanted = asyncio.Event()

    @contextmanager
    def subscribe(self, generation_id: str, from_offset: int = 0) -> Iterator[Subscription]:
        """Follow one log while the context is open. Safe to use more than once for one id."""
        subscription = Subscription(
            generation_id,
            from_offset=from_offset,
            buffer_bytes=self._buffer_bytes,
            on_room=self._poke,
        )
        peers = self._subscriptions.setdefault(generation_id, [])
        peers.append(subscription)
        self._poke()
        try:
            yield subscription
        finally:
            peers.remove(subscription)
            if not peers:
                del self._subscriptions[generation_id]

    def live_ids(self) -> list[str]:
        """The generations that somebody follows."""
        return list(self._subscriptions)

    def drain(self) -> None:
        """End all subscriptions, see `Subscription.drain`."""
        for peers in self._subscriptions.values():
            for subscription in peers:
                subscription.drain()

    async def run(self) -> None:
        """Read for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._interrupt_loop())
            tasks.create_task(self._read_loop())

    def _poke(self) -> None:
        self._changed.set()
        if self._is_reading:
            self._interrupt_wanted.set()

    async def _interrupt_loop(self) -> None:
        while True:
            await self._interrupt_wanted.wait()
            self._interrupt_wanted.clear()
            try:
                await self._queue.interrupt()
            except StoreUnavailableError:
                # The read under way fails for the same reason, and then starts over by itself.
                continue

    async def _read_loop(self) -> None:
        is_store_away = False
        while True:
            self._changed.clear()
            wanted = self._wanted()
            if not wanted:
                await self._changed.wait()
                continue
            try:
                news = await self._read(wanted)
            except StoreUnavailableError as error:
                if not is_store_away:
                    _log.warning("streams are held: the store is away", cause=repr(error.__cause__))
                is_store_away = True
                await asyncio.sleep(RETRY_SECONDS)
                continue
            is_store_away = False
            for generation_id, entries in news.items():
                self._deliver(generation_id, wanted[generation_id], entries)

    def _wanted(self) -> dict[str, str]:
        wanted = {}
        for generation_id, peers in self._subscriptions.items():
            hungry = [peer for peer in peers if peer.wants_more]
            if hungry:
                # The one most behind first: its read returns at once, and then all read together.
                wanted[generation_id] = min(hungry, key=lambda peer: peer.read_offset).cursor
        return wanted

    async def _read(self, cursors: dict[str, str]) -> dict[str, list[LogEntry]]:
        self._is_reading = True
        try:
            return await self._queue.read(cursors, block_ms=BLOCK_MS, limit=ENTRIES_PER_READ)
        finally:
            self._is_reading = False

    def _deliver(self, generation_id: str, cursor: str, entries: list[LogEntry]) -> None:
        for peer in self._subscriptions.get(generation_id, ()):
            if peer.cursor == cursor and peer.wants_more:
                peer.push(entries)
