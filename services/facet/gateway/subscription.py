"""One reader's place in one log."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from facet.core.errors import FacetError, GatewayDrainingError, LogLostError, LogRegressedError
from facet.gateway.framing import event_frames, frames_from
from facet.gateway.kept import Kept
from facet.queue.values import LogEntry, Submission


@dataclass(frozen=True)
class Batch:
    """Consecutive events, serialized as one `StreamGenerateContentResponse`.

    `response` is empty when an attached reader begins at the end of a log. `failure` as in
    `LogEntry`; it is set only with `is_terminal`.
    """

    response: bytes
    is_terminal: bool
    failure: bytes


@dataclass(frozen=True)
class Origin:
    """What a gateway needs to queue a request anew that the store forgot.

    `store` names the store's history in which it was accepted; `ends_at` is the deadline on the
    monotonic clock, in seconds.
    """

    submission: Submission
    store: str
    ends_at: float


class Subscription:
    """Delivers each event from `from_offset` on once and in order.

    Entries wait in a buffer until `next` takes all of them at once: merging happens only while the
    taker is behind. Once the buffer holds `buffer_bytes` it `is_full` and takes nothing; `on_room`
    is called when `next` has emptied a full buffer. What arrives behind a gap waits, up to as many
    bytes, until the gap is filled.

    The latest events are kept. After the store may have fallen back, `recheck` has the log compared
    with them before anything new is delivered.
    """

    def __init__(
        self,
        generation_id: str,
        *,
        from_offset: int,
        buffer_bytes: int,
        on_room: Callable[[], None],
        origin: Origin | None = None,
    ) -> None:
        self.generation_id = generation_id
        self.origin = origin
        self.wanted_offset = from_offset
        self.read_offset = from_offset
        self.next_offset = from_offset
        self._buffer_bytes = buffer_bytes
        self._on_room = on_room
        self._entries: deque[LogEntry] = deque()
        self._buffered_bytes = 0
        self._ahead: deque[LogEntry] = deque()
        self._ahead_bytes = 0
        self._kept = Kept(from_offset)
        self._known: dict[int, bytes] = {}
        self._has_terminal = False
        self._error: FacetError | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether the buffer holds as much as it may."""
        return self._buffered_bytes >= self._buffer_bytes

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be read for this reader."""
        return self._has_terminal or self._error is not None

    @property
    def wants_more(self) -> bool:
        """Whether the log is to be read on for this reader."""
        return not (self.is_full or self.is_over)

    def push(self, entries: Sequence[LogEntry]) -> None:
        """Take entries in the order of the log; what lies before `wanted_offset` is left out."""
        for entry in entries:
            if entry.first_offset > self.wanted_offset:
                self._put_ahead(entry)
            else:
                self._take_next(entry)
        while self._ahead and self._ahead[0].first_offset <= self.wanted_offset:
            entry = self._ahead.popleft()
            self._ahead_bytes -= len(entry.response)
            self._take_next(entry)
        if self._entries or self._error:
            self._wake()

    def recheck(self) -> None:
        """Compare the log with what is kept of it, from the oldest of that on."""
        if not self.is_over:
            self.close_gap()
            self._known = {}
            self.wanted_offset = self._kept.first_offset

    def close_gap(self) -> None:
        """Forget what arrived behind a gap: the whole log was read, or is to be read anew."""
        self._ahead.clear()
        self._ahead_bytes = 0

    def fail(self, error: FacetError) -> None:
        """Make `next` raise this once it has delivered what arrived."""
        self._error = self._error or error
        self._wake()

    def lose(self) -> None:
        """The store no longer has this log."""
        self.fail(LogLostError("the store no longer has this generation", metadata=self._place()))

    def drain(self) -> None:
        """Make `next` raise GatewayDrainingError with the place where to go on."""
        self._entries.clear()
        self.fail(
            GatewayDrainingError(
                "this gateway shuts down; attach to the generation again from the next offset",
                metadata=self._place(),
            )
        )

    async def next(self, timeout_seconds: float) -> Batch | None:
        """All events that arrived, as soon as there is one; None after the timeout. One caller.

        Errors: GatewayDrainingError; LogRegressedError when the log holds other events than were
        delivered; LogLostError.
        """
        if not self._entries and not self._error:
            await self._wait(timeout_seconds)
        if self._entries:
            return self._take()
        if self._error:
            raise self._error
        return None

    async def _wait(self, seconds: float) -> None:
        # A future and a timer cost half of what an event under a timeout does, for each message.
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _put_ahead(self, entry: LogEntry) -> None:
        follows = not self._ahead or entry.first_offset > self._ahead[-1].first_offset
        if follows and self._ahead_bytes + len(entry.response) <= self._buffer_bytes:
            self._ahead.append(entry)
            self._ahead_bytes += len(entry.response)
        elif follows:
            # The log has it all.
            self.close_gap()

    def _take_next(self, entry: LogEntry) -> None:
        is_known = entry.first_offset + entry.event_count <= self.wanted_offset
        if not is_known and not self.is_over and not self._accepts(entry):
            self.fail(self._regressed())

    def _accepts(self, entry: LogEntry) -> bool:
        try:
            if not self._agrees(entry):
                return False
            self._take_in(entry)
        except ValueError:
            # One log that is damaged must not end the reading of all others.
            return False
        return True

    def _agrees(self, entry: LogEntry) -> bool:
        """Whether an entry brings again what was read before, as far as that is kept."""
        if entry.first_offset >= self.read_offset or self.wanted_offset >= self.read_offset:
            return True
        if not self._known:
            # Cut once for all entries that are compared: nothing is kept before they agree.
            self._known = self._kept.frames()
        return all(
            self._known.get(entry.first_offset + index, frame) == frame
            for index, frame in enumerate(event_frames(entry.response))
        )

    def _take_in(self, entry: LogEntry) -> None:
        end = entry.first_offset + entry.event_count
        self.wanted_offset = end
        if end <= self.read_offset:
            return
        skipped = self.read_offset - entry.first_offset
        if skipped > 0:
            entry = LogEntry(
                first_offset=self.read_offset,
                event_count=entry.event_count - skipped,
                response=frames_from(entry.response, skipped),
                is_terminal=entry.is_terminal,
                failure=entry.failure,
            )
        self.read_offset = end
        self._known = {}
        self._has_terminal = entry.is_terminal
        if entry.is_terminal:
            # What has ended is not queued anew when it is forgotten.
            self.origin = None
        self._entries.append(entry)
        self._buffered_bytes += len(entry.response)
        self._kept.add(entry.response)

    def _take(self) -> Batch:
        was_full = self.is_full
        entries = list(self._entries)
        self._entries.clear()
        self._buffered_bytes = 0
        last = entries[-1]
        self.next_offset = last.first_offset + last.event_count
        if was_full:
            self._on_room()
        response = b"".join(entry.response for entry in entries)
        return Batch(response, last.is_terminal, last.failure)

    def _regressed(self) -> LogRegressedError:
        return LogRegressedError(
            "the store fell back, and the generation went on otherwise than was delivered",
            metadata=self._place(),
        )

    def _place(self) -> dict[str, str]:
        return {"generation_id": self.generation_id, "next_offset": str(self.next_offset)}
