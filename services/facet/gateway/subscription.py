"""One reader's place in one log, with a bounded buffer before it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from facet.api.v1.inference_service_pb2 import StreamGenerateContentResponse
from facet.core.errors import GatewayDrainingError, LogRegressedError
from facet.queue.port import LogEntry

BEGINNING = "0"


@dataclass(frozen=True)
class Batch:
    """Consecutive events, serialized as one `StreamGenerateContentResponse`.

    `response` is empty when an attached reader begins at the end of a log. `failure` as in
    `LogEntry`; it is set only with `is_terminal`.
    """

    response: bytes
    is_terminal: bool
    failure: bytes


class Subscription:
    """Delivers each event from `from_offset` on once and in order.

    Entries wait in a buffer until `next` takes all of them at once: merging happens only while the
    taker is behind. Once the buffer holds `buffer_bytes` it `is_full` and the log is not read for
    it; `on_room` is called when `next` has emptied a full buffer.
    """

    def __init__(
        self,
        generation_id: str,
        *,
        from_offset: int,
        buffer_bytes: int,
        on_room: Callable[[], None],
    ) -> None:
        self.generation_id = generation_id
        self.cursor = BEGINNING
        self.read_offset = 0
        self.next_offset = from_offset
        self._buffer_bytes = buffer_bytes
        self._on_room = on_room
        self._entries: deque[LogEntry] = deque()
        self._buffered_bytes = 0
        self._has_terminal = False
        self._is_draining = False
        self._regressed_to: int | None = None
        self._arrived = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether the buffer holds as much as it may."""
        return self._buffered_bytes >= self._buffer_bytes

    @property
    def wants_more(self) -> bool:
        """Whether the log is to be read on for this reader."""
        return not (self.is_full or self._has_terminal or self._is_regressed)

    def push(self, entries: Sequence[LogEntry]) -> None:
        """Take what was read after `cursor`."""
        for entry in entries:
            if entry.first_offset != self.read_offset:
                self._regressed_to = entry.first_offset
                break
            self.cursor = entry.cursor
            self.read_offset += entry.event_count
            self._has_terminal = entry.is_terminal
            if self.read_offset > self.next_offset or entry.is_terminal:
                self._entries.append(entry)
                self._buffered_bytes += len(entry.response)
        if self._entries or self._is_regressed:
            self._arrived.set()

    def drain(self) -> None:
        """Make `next` raise GatewayDrainingError with the place where to go on."""
        self._is_draining = True
        self._arrived.set()

    async def next(self, timeout_seconds: float) -> Batch | None:
        """All events that arrived, as soon as there is one; None after the timeout.

        Errors: GatewayDrainingError; LogRegressedError when the log does not continue where this
        reader stands.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._arrived.wait()
        except TimeoutError:
            return None
        if self._is_draining:
            raise self._draining()
        if not self._entries:
            raise self._regressed()
        return self._take()

    def _take(self) -> Batch:
        was_full = self.is_full
        entries = list(self._entries)
        self._entries.clear()
        self._buffered_bytes = 0
        if not self._is_regressed:
            self._arrived.clear()
        response = b"".join(self._wanted(entry) for entry in entries)
        last = entries[-1]
        self.next_offset = max(self.next_offset, last.first_offset + last.event_count)
        if was_full:
            self._on_room()
        return Batch(response, last.is_terminal, last.failure)

    def _wanted(self, entry: LogEntry) -> bytes:
        skipped = self.next_offset - entry.first_offset
        if skipped <= 0:
            return entry.response
        events = StreamGenerateContentResponse.FromString(entry.response).events[skipped:]
        return StreamGenerateContentResponse(events=events).SerializeToString()

    @property
    def _is_regressed(self) -> bool:
        return self._regressed_to is not None

    def _regressed(self) -> LogRegressedError:
        return LogRegressedError(
            f"the log goes on at offset {self._regressed_to}, expected was {self.read_offset}",
            metadata=self._place(),
        )

    def _draining(self) -> GatewayDrainingError:
        return GatewayDrainingError(
            "this gateway shuts down; attach to the generation again from the next offset",
            metadata=self._place(),
        )

    def _place(self) -> dict[str, str]:
        return {"generation_id": self.generation_id, "next_offset": str(self.next_offset)}
