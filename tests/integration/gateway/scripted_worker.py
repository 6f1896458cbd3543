"""A worker of few words: plays the consumer's side of a queue as a test tells it."""

from __future__ import annotations

import asyncio
import secrets
import time

from facet.api.queue.v1.envelope_pb2 import Envelope
from facet.api.v1.event_pb2 import Event, Finished, Started, TextDelta
from facet.api.v1.generation_pb2 import FINISH_REASON_STOP
from facet.api.v1.inference_service_pb2 import StreamGenerateContentResponse
from facet.core.errors import FacetError, StoreUnavailableError
from facet.queue.port import Queue
from facet.queue.values import Append, Claim, Claimed, Finish, Verdict

CLAIM_SECONDS = 10.0
OUTAGE_SECONDS = 5.0


class ScriptedWorker:
    """Claims from one queue; its jobs write what the test wants."""

    def __init__(self, queue: Queue, name: str = "scripted") -> None:
        self.queue = queue
        self.name = name

    async def claim(self) -> ScriptedJob:
        """The next request, waited for up to ten seconds."""
        ends = time.monotonic() + CLAIM_SECONDS
        while time.monotonic() < ends:
            claim = Claim(self.name, secrets.token_hex(8), limit=1, held=0, fingerprint="scripted")
            result = await self.queue.claim(claim)
            if result.claimed:
                return ScriptedJob(self.queue, result.claimed[0])
            await self.queue.wait_for_work("worker-1", 200)
        raise AssertionError("nothing to claim")


class ScriptedJob:
    """One leased request."""

    def __init__(self, queue: Queue, claimed: Claimed) -> None:
        self._queue = queue
        self._next_offset = claimed.next_offset
        self.claimed = claimed
        self.envelope = Envelope.FromString(claimed.envelope)

    async def start(self) -> None:
        await self._append(Event(started=Started(worker="scripted", prompt_token_count=3)))

    async def say(self, *texts: str) -> None:
        await self._append(*(Event(text_delta=TextDelta(text=text)) for text in texts))

    def fall_back(self, next_offset: int) -> None:
        """Write from this offset on, as after a failover that lost what was behind it."""
        self._next_offset = next_offset

    async def append(self, *events: Event) -> None:
        await self._append(*events)

    async def finish(self, finished: Finished | None = None) -> None:
        finished = finished or Finished(finish_reason=FINISH_REASON_STOP)
        await self._end(Event(finished=finished), b"")

    async def fail(self, error: FacetError) -> None:
        failure = error.to_failure()
        await self._end(Event(finished=Finished(failure=failure)), failure.SerializeToString())

    async def is_lost(self) -> bool:
        [verdict] = await self._queue.heartbeat("worker-1", "print-1", [self.claimed.lease])
        return verdict is Verdict.LEASE_LOST

    async def _append(self, *events: Event) -> None:
        response = self._response(events)
        append = Append(
            self.claimed.lease,
            self._next_offset,
            len(events),
            tuple(range(len(events))),
            response,
        )
        await self._write(append)

    async def _end(self, event: Event, failure: bytes) -> None:
        response = self._response([event])
        finish = Finish(self.claimed.lease, self._next_offset, 1, (), response, failure=failure)
        await self._write(finish)

    def _response(self, events: list[Event] | tuple[Event, ...]) -> bytes:
        for index, event in enumerate(events):
            event.offset = self._next_offset + index
        return StreamGenerateContentResponse(events=events).SerializeToString()

    async def _write(self, write: Append | Finish) -> None:
        """Insists, as a worker does that keeps its events through an outage of the store."""
        ends = time.monotonic() + OUTAGE_SECONDS
        while True:
            try:
                [result] = await self._queue.write([write])
                break
            except StoreUnavailableError:
                if time.monotonic() > ends:
                    raise
                await asyncio.sleep(0.05)
        assert result.verdict is Verdict.OK
        self._next_offset += write.event_count
