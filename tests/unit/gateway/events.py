"""Log entries and batches as the tests of the gateway use them."""

from __future__ import annotations

import secrets

from facet.api.v1.event_pb2 import Event, Finished, TextDelta
from facet.api.v1.inference_service_pb2 import StreamGenerateContentResponse
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import (
    Append,
    Claim,
    Claimed,
    Finish,
    LogEntry,
    Priority,
    Submission,
    Verdict,
)

TENANT = "alice"


def entry(
    first_offset: int, *texts: str, is_terminal: bool = False, failure: bytes = b""
) -> LogEntry:
    """An entry with one event a text, and a terminal event after them if asked for."""
    events = [Event(text_delta=TextDelta(text=text)) for text in texts]
    events += [Event(finished=Finished())] if is_terminal else []
    for index, event in enumerate(events):
        event.offset = first_offset + index
    return LogEntry(
        first_offset=first_offset,
        event_count=len(events),
        response=StreamGenerateContentResponse(events=events).SerializeToString(),
        is_terminal=is_terminal,
        failure=failure,
    )


def offsets(response: bytes) -> list[int]:
    """The offsets of the events in a message."""
    return [event.offset for event in StreamGenerateContentResponse.FromString(response).events]


class Log:
    """One request of a memory queue, claimed, with its writer's side."""

    def __init__(self, queue: MemoryQueue, claimed: Claimed) -> None:
        self._queue = queue
        self._claimed = claimed
        self._next_offset = 0
        self.generation_id = claimed.lease.generation_id

    @classmethod
    async def on(cls, queue: MemoryQueue) -> Log:
        """Submit and claim a request."""
        generation_id = f"g-0-{secrets.token_hex(16)}"
        await submit(queue, generation_id)
        result = await queue.claim(Claim("w", secrets.token_hex(4), 1, 0, "f"))
        return cls(queue, result.claimed[0])

    async def say(self, *texts: str) -> None:
        """Log one entry."""
        written = entry(self._next_offset, *texts)
        append = Append(self._claimed.lease, self._next_offset, len(texts), (), written.response)
        [result] = await self._queue.write([append])
        assert result.verdict is Verdict.OK
        self._next_offset += len(texts)

    async def finish(self) -> None:
        """Log the terminal event."""
        written = entry(self._next_offset, is_terminal=True)
        finish = Finish(self._claimed.lease, self._next_offset, 1, (), written.response)
        [result] = await self._queue.write([finish])
        assert result.verdict is Verdict.OK


async def submit(queue: MemoryQueue, generation_id: str) -> None:
    """Queue an empty request."""
    await queue.submit(
        Submission(
            generation_id=generation_id,
            tenant=TENANT,
            envelope=b"",
            priority=Priority.STANDARD,
            deadline_ms=60_000,
            retention_ms=60_000,
            reader_grace_ms=10_000,
        )
    )
