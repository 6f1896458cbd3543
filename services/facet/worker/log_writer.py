"""Writes the logs of all running requests, all that is pending in one round trip.

There are no timers: while one write is under way the next batch gathers, so one slow store makes
larger batches, and a fast one adds no delay.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from facet.core.errors import StoreUnavailableError
from facet.queue.limits import MAX_BATCH
from facet.queue.port import Consumer
from facet.queue.values import Append, Finish, Lease, Verdict, WriteResult

_RETRY_SECONDS = 0.1

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Entry:
    """Events to be logged: serialized, `event_count` of them, with the ids they account for."""

    response: bytes
    event_count: int
    token_ids: tuple[int, ...] = ()
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    voids_ids: bool = False


@dataclass(frozen=True)
class Ending:
    """What is stored beside the terminal event; see `facet.queue.port.Finish`."""

    failure: bytes = b""
    is_dead_letter: bool = False
    prompt_tokens: int = 0
    output_tokens: int = 0
    usage: bytes = b""


class RunLog:
    """The log of one leased request.

    All events of this lease stay in memory until the request ends, so that a reply that was lost,
    or a store that fell back, is answered by writing on from where the store stands. `lost` is set
    when the lease does not hold any more, `drained` while nothing is pending. While the store has
    forgotten the lease, since `rewound_at` on the monotonic clock, nothing is written.
    """

    def __init__(self, lease: Lease, next_offset: int, wake: Callable[[RunLog], None]) -> None:
        self.lease = lease
        self.lost = asyncio.Event()
        self.drained = asyncio.Event()
        self.drained.set()
        self.rewound_at: float | None = None
        self._wake = wake
        self._entries: list[Entry] = []
        # Offset in front of each entry, and the end: where a write of ours may have ended.
        self._bounds = [next_offset]
        self._written = 0
        self._ending: Ending | None = None

    def append(self, entry: Entry) -> None:
        """Have events written; returns at once."""
        self._entries.append(entry)
        self._bounds.append(self._bounds[-1] + entry.event_count)
        self.drained.clear()
        self._wake(self)

    async def finish(self, entry: Entry, ending: Ending) -> None:
        """Have the last events written; returns when they are, or when the lease is lost."""
        self._ending = ending
        self.append(entry)
        await self.settle()

    async def settle(self) -> None:
        """Return when nothing is pending, or the lease is lost."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self.drained, self.lost)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def response(self) -> bytes:
        """All events of this lease so far, as one serialized response."""
        return b"".join(entry.response for entry in self._entries)

    def lose(self) -> None:
        """The lease does not hold any more: nothing is written from here on."""
        self.lost.set()

    def rewind(self) -> None:
        """The store forgot the lease: wait until it is taken back."""
        if self.rewound_at is None:
            self.rewound_at = time.monotonic()
            _log.warning("log.rewound", generation_id=self.lease.generation_id)

    def take_back(self) -> None:
        """The lease holds: go on writing."""
        if self.rewound_at is not None:
            self.rewound_at = None
            self._wake(self)

    def pending(self) -> Append | Finish | None:
        """All that is not written yet as one write: merging events is concatenating them."""
        entries = self._entries[self._written :]
        if self.lost.is_set() or self.rewound_at is not None or not entries:
            return None
        append = Append(
            lease=self.lease,
            expected_offset=self._bounds[self._written],
            event_count=sum(entry.event_count for entry in entries),
            token_ids=tuple(token_id for entry in entries for token_id in entry.token_ids),
            response=b"".join(entry.response for entry in entries),
            drafted_tokens=sum(entry.drafted_tokens for entry in entries),
            accepted_tokens=sum(entry.accepted_tokens for entry in entries),
            # Only the first event of an attempt can void those of earlier ones.
            voids_ids=any(entry.voids_ids for entry in entries),
        )
        if self._ending is None:
            return append
        return Finish(**vars(append), **vars(self._ending))

    def account(self, result: WriteResult) -> None:
        """Take the store's answer to the last write."""
        if result.verdict is Verdict.LEASE_LOST:
            self.lose()
            return
        if result.verdict is Verdict.REWOUND:
            self.rewind()
            return
        position = bisect_left(self._bounds, result.next_offset)
        if position == len(self._bounds) or self._bounds[position] != result.next_offset:
            _log.error(
                "log.foreign_offset",
                generation_id=self.lease.generation_id,
                next_offset=result.next_offset,
            )
            self.lose()
            return
        self._written = position
        if self._written == len(self._entries):
            self.drained.set()
        else:
            self._wake(self)


class LogWriter:
    """Writes what `RunLog`s hold.

    While the store is away it tries again for `patience_seconds`; then all logs with something to
    write lose their lease.
    """

    def __init__(self, queue: Consumer, *, patience_seconds: float = 30.0) -> None:
        self._queue = queue
        self._patience_seconds = patience_seconds
        self._dirty: dict[RunLog, None] = {}
        self._wake = asyncio.Event()
        self._away_since: float | None = None

    def open(self, lease: Lease, next_offset: int) -> RunLog:
        """The log of a request that was just claimed."""
        return RunLog(lease, next_offset, self._mark)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            batch = self._take()
            if not batch:
                self._wake.clear()
                continue
            await self._write(batch)

    def _mark(self, log: RunLog) -> None:
        self._dirty[log] = None
        self._wake.set()

    def _take(self) -> list[tuple[RunLog, Append | Finish]]:
        batch: list[tuple[RunLog, Append | Finish]] = []
        room = MAX_BATCH
        for log in list(self._dirty):
            write = log.pending()
            if write is not None and write.share > room:
                break
            del self._dirty[log]
            if write is not None:
                room -= write.share
                batch.append((log, write))
        return batch

    async def _write(self, batch: Sequence[tuple[RunLog, Append | Finish]]) -> None:
        try:
            results = await self._queue.write([write for _, write in batch])
        except StoreUnavailableError as error:
            # What was not acknowledged may have been written all the same: then the next write
            # hears WRONG_OFFSET and goes on from there.
            await self._retry_later(batch, error)
            return
        self._away_since = None
        for (log, _), result in zip(batch, results, strict=True):
            log.account(result)

    async def _retry_later(
        self, batch: Sequence[tuple[RunLog, Append | Finish]], error: StoreUnavailableError
    ) -> None:
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            _log.warning("log.store_away", cause=repr(error.__cause__))
        is_over = now - self._away_since > self._patience_seconds
        for log, _ in batch:
            if is_over:
                log.lose()
            else:
                self._mark(log)
        if is_over:
            _log.error("log.given_up", requests=len(batch))
            self._away_since = None
        await asyncio.sleep(_RETRY_SECONDS)
