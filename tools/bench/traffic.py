"""All that the benchmarks know of the queue: its adapter, its port's values, its scripts' names."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from facet.api.queue.v1.envelope_pb2 import Envelope
from facet.api.v1.content_pb2 import ROLE_USER, Content, Part
from facet.api.v1.event_pb2 import Event, Finished, TextDelta
from facet.api.v1.generation_pb2 import FINISH_REASON_STOP, GenerationRequest
from facet.api.v1.inference_service_pb2 import StreamGenerateContentResponse
from facet.core.errors import StoreUnavailableError
from facet.queue.limits import QueueLimits
from facet.queue.lua import load_scripts
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import (
    Append,
    Claim,
    Finish,
    Lease,
    Priority,
    Submission,
    Verdict,
    WriteResult,
)

RELEASE = "bench"
MODEL = "nano"
TENANTS = 1000
CONNECTIONS = 16
"""Calls that one `RedisQueue` carries at once; others wait for a connection, some too long."""

_PROMPT_CHARACTERS = 512
_HOUR_MS = 3_600_000
_RETENTION_MS = 600_000
_FINGERPRINT = "bench"
_PATIENCE_SECONDS = 30.0
_RETRY_SECONDS = 0.1
_Answer = TypeVar("_Answer")
_UNBOUNDED = QueueLimits(
    max_waiting=10_000_000,
    max_waiting_bytes=1 << 40,
    tenant_max_waiting=10_000_000,
    tenant_max_waiting_bytes=1 << 40,
)


def connect(url: str, *, model: str = MODEL) -> RedisQueue:
    """A queue without a bound that the benchmark could meet; `model` keeps its keys apart."""
    return RedisQueue.connect(url, release=RELEASE, model=model, limits=_UNBOUNDED)


def connect_default(url: str) -> RedisQueue:
    """The queue of the gateways of this release, with the limits that they use."""
    return RedisQueue.connect(url, release=RELEASE, model=MODEL)


def submission(number: int, *, deadline_ms: int = _HOUR_MS) -> Submission:
    """A request with 512 random characters of prompt, of tenant `number` modulo 1,000."""
    tenant = f"tenant-{number % TENANTS}"
    generation_id = f"g-0-{secrets.token_hex(16)}"
    prompt = base64.b64encode(os.urandom(_PROMPT_CHARACTERS * 3 // 4)).decode()
    content = Content(role=ROLE_USER, parts=[Part(text=prompt)])
    envelope = Envelope(
        version=1,
        generation_id=generation_id,
        tenant=tenant,
        request=GenerationRequest(model=MODEL, contents=[content]),
    )
    envelope.accept_time.GetCurrentTime()
    return Submission(
        generation_id=generation_id,
        tenant=tenant,
        envelope=envelope.SerializeToString(),
        priority=Priority.STANDARD,
        deadline_ms=deadline_ms,
        retention_ms=_RETENTION_MS,
        # As a stream has it, yet long enough for a queue that nobody reads.
        reader_grace_ms=_HOUR_MS,
    )


def endless_submissions(made: int = 1000) -> Iterator[Submission]:
    """Requests whose prompts repeat after `made`, so that making them costs next to nothing."""
    prompts = [submission(number) for number in range(made)]
    while True:
        for each in prompts:
            yield replace(each, generation_id=f"g-0-{secrets.token_hex(16)}")


def claim(worker: str, limit: int, *, held: int = 0) -> Claim:
    """A new claim of an able worker."""
    return Claim(
        worker=worker,
        nonce=secrets.token_hex(16),
        limit=limit,
        held=held,
        fingerprint=_FINGERPRINT,
    )


async def wait_for_work(queue: RedisQueue, worker: str, timeout_ms: int) -> None:
    """Return when the worker may find something to claim, or after the timeout."""
    await queue.wait_for_work(worker, timeout_ms)


async def renew(queue: RedisQueue, worker: str, leases: Sequence[Lease]) -> None:
    """Keep the worker's leases without writing."""
    await queue.heartbeat(worker, _FINGERPRINT, leases)


async def waiting(queue: RedisQueue) -> int:
    """How many requests wait."""
    return (await queue.depth()).waiting


def text_event(offset: int, text: str) -> bytes:
    """One serialized response with one event: a piece of answer that one token brought.

    `text` has the same length in every event of a log.
    """
    delta = TextDelta(text=text, text_start=offset * len(text))
    event = Event(offset=offset, token_start=offset, token_end=offset + 1, text_delta=delta)
    return StreamGenerateContentResponse(events=[event]).SerializeToString()


def last_event(offset: int) -> bytes:
    """One serialized response with the terminal event."""
    finished = Finished(finish_reason=FINISH_REASON_STOP)
    event = Event(offset=offset, token_start=offset, token_end=offset, finished=finished)
    return StreamGenerateContentResponse(events=[event]).SerializeToString()


def append(lease: Lease, offset: int, events: Sequence[bytes]) -> Append:
    """Write these text events, of one token each, from `offset` on."""
    return Append(
        lease=lease,
        expected_offset=offset,
        event_count=len(events),
        token_ids=tuple(range(offset, offset + len(events))),
        response=b"".join(events),
    )


def finish(lease: Lease, offset: int, response: bytes) -> Finish:
    """Write the terminal event at `offset`."""
    return Finish(
        lease=lease, expected_offset=offset, event_count=1, token_ids=(), response=response
    )


def is_written(result: WriteResult, end: int) -> bool:
    """Whether the store took the write that ends in front of offset `end`, then or before.

    The repeat of an append whose answer was lost hears where the log stands.
    """
    if result.verdict is Verdict.OK:
        return True
    return result.verdict is Verdict.WRONG_OFFSET and result.next_offset == end


async def insist(call: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """The answer of a repeatable call; a store that is slow to answer is asked again.

    Errors: StoreUnavailableError when it stays away for 30 s.
    """
    gives_up_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return await call()
        except StoreUnavailableError:
            if time.monotonic() > gives_up_at:
                raise
            await asyncio.sleep(_RETRY_SECONDS)


class Operations:
    """Tells from the arguments of a logged EVALSHA what was done."""

    def __init__(self) -> None:
        self._names = {script.sha: name for name, script in load_scripts().items()}

    def name(self, arguments: Sequence[bytes]) -> str:
        """enqueue, append or finish; for others the name of the script."""
        script = self._names.get(arguments[1].decode(), "unknown")
        if script == "submit":
            return "enqueue"
        if script == "write":
            return "finish" if b"finish" in arguments else "append"
        return script
