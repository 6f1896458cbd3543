"""Doubles and builders for the tests of the worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace

from google.protobuf import json_format

from facet.api.queue.v1 import envelope_pb2
from facet.api.v1 import event_pb2, generation_pb2, inference_service_pb2
from facet.core.errors import StoreUnavailableError
from facet.core.media_store import MediaStore, MemoryMediaStore
from facet.core.models import NANO
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import Claim, Claimed, Priority, Submission
from facet.worker.engine.port import Prompt, Step
from facet.worker.engine.simulated import SimulatedEngine, SimulatedOptions
from facet.worker.log_writers import LogWriters
from facet.worker.run import Run
from facet.worker.workplace import Workplace

TENANT = "tenant"


class PacedEngine(SimulatedEngine):
    """One id a step, each released by `allow`; `starved` is set when it waits for that.

    It counts what was aborted.
    """

    def __init__(self) -> None:
        options = SimulatedOptions(step_ms=0, prefill_tokens_per_second=1e9, acceptance_rate=0)
        super().__init__(options, NANO)
        self._allowance = asyncio.Semaphore(0)
        self.starved = asyncio.Event()
        self.error: Exception | None = None
        self.aborted = 0
        self.answers_probes = True
        self.probes = 0

    def allow(self, steps: int) -> None:
        """Let so many steps more be made."""
        for _ in range(steps):
            self._allowance.release()

    def forbid(self) -> None:
        """Make no further step."""
        self._allowance = asyncio.Semaphore(0)
        self.starved.clear()

    async def probe(self) -> None:
        """See `Engine.probe`."""
        self.probes += 1
        if not self.answers_probes:
            await asyncio.Event().wait()

    async def generate(
        self,
        generation_id: str,
        request: generation_pb2.GenerationRequest,
        prompt: Prompt,
        emitted: Sequence[int],
        candidate: int = 0,
    ) -> AsyncGenerator[Step, None]:
        """See `Engine.generate`."""
        is_complete = False
        try:
            async for step in super().generate(generation_id, request, prompt, emitted, candidate):
                if self._allowance.locked():
                    self.starved.set()
                await self._allowance.acquire()
                if self.error is not None:
                    raise self.error
                is_complete = step.finish is not None
                yield step
        finally:
            self.aborted += not is_complete


class AwayStore(MemoryMediaStore):
    """A media store that is away for the first so many calls."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def get(self, key: str) -> bytes | None:
        """See `MediaStore.get`."""
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("away")
        return await super().get(key)


async def until(condition: Callable[[], bool], bound_seconds: float) -> None:
    """Return when the condition holds; fail at the bound."""
    ends = time.monotonic() + bound_seconds
    while not condition():
        assert time.monotonic() < ends, "the condition did not hold in time"
        await asyncio.sleep(0.01)


def request(text: str = "hello", **fields: object) -> generation_pb2.GenerationRequest:
    """A request of one text part, with fields in the form of JSON."""
    made = generation_pb2.GenerationRequest()
    json_format.ParseDict({"contents": [{"parts": [{"text": text}]}], **fields}, made)
    return made


def envelope(generation_id: str, made: generation_pb2.GenerationRequest) -> envelope_pb2.Envelope:
    """What a gateway would queue."""
    return envelope_pb2.Envelope(
        version=1, generation_id=generation_id, tenant=TENANT, request=made
    )


async def submit(
    queue: MemoryQueue, generation_id: str, data: bytes, *, sequences: int = 1
) -> None:
    """Queue an envelope."""
    submission = Submission(generation_id, TENANT, data, Priority.STANDARD, 60_000, 60_000, None)
    await queue.submit(replace(submission, sequences=sequences))


async def claim(queue: MemoryQueue, nonce: str, fingerprint: str = "simulated-1") -> Claimed:
    """Claim the one request that waits."""
    result = await queue.claim(Claim("worker", nonce, 1, 0, fingerprint))
    return result.claimed[0]


async def events_of(queue: MemoryQueue, generation_id: str) -> list[event_pb2.Event]:
    """The whole log."""
    logs = await queue.read({generation_id: 0}, limit=1000)
    return [
        event
        for entry in logs.get(generation_id, [])
        for event in inference_service_pb2.StreamGenerateContentResponse.FromString(
            entry.response
        ).events
    ]


def text_of(events: Sequence[event_pb2.Event]) -> str:
    """The answer's text."""
    return "".join(event.text_delta.text for event in events)


def kinds_of(events: Sequence[event_pb2.Event]) -> list[str]:
    """Kinds of the events that are no deltas."""
    kinds = [str(event.WhichOneof("kind")) for event in events]
    return [kind for kind in kinds if not kind.endswith("_delta") and kind != "withheld"]


def assert_no_gap(events: Sequence[event_pb2.Event]) -> None:
    """Offsets, token ranges and text ranges adjoin."""
    assert [event.offset for event in events] == list(range(len(events)))
    tokens = length = 0
    for event in events:
        assert event.token_start == tokens
        tokens = event.token_end
        if event.WhichOneof("kind") == "text_delta":
            assert event.text_delta.text_start == length
            length += len(event.text_delta.text)


class Bench:
    """A queue, a writer and an engine; `run` makes runs of claims."""

    def __init__(
        self,
        engine: SimulatedEngine | None = None,
        queue: MemoryQueue | None = None,
        media: MediaStore | None = None,
    ) -> None:
        self.queue = queue or MemoryQueue()
        self.media = media or MemoryMediaStore()
        self.engine = engine or PacedEngine()
        self.writer = LogWriters(self.queue)
        slots = asyncio.Semaphore(min(8, self.engine.capacity))
        self.place = Workplace("worker", self.engine, self.media, slots)
        self._writing = asyncio.create_task(self.writer.run())

    def run(self, claimed: Claimed) -> Run:
        """A run of this claim, not started."""
        log = self.writer.open(claimed.lease, claimed.next_offset)
        return Run(claimed, log, self.place)

    async def close(self) -> None:
        """End the writer."""
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
