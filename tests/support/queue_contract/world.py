"""A queue under test with a clock that the test moves."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Protocol

from facet.api.v1 import event_pb2, inference_service_pb2
from facet.queue.limits import QueueLimits
from facet.queue.port import Queue
from facet.queue.values import (
    Append,
    Claim,
    Claimed,
    ClaimResult,
    Finish,
    LogEntry,
    Priority,
    Submission,
)

TENANT = "tenant-a"
START_MS = 1_000_000_000
"""Time of a world whose clock stands, at its beginning."""
STEP_MS = 3_000
"""Less than a lease, more than half of one: two steps without renewal end it."""

_nonces = itertools.count()


class World(Protocol):
    """One store and a queue on it."""

    limits: QueueLimits

    @property
    def queue(self) -> Queue:
        """The queue under test."""

    async def restrict(self, limits: QueueLimits) -> None:
        """Begin anew with other bounds; only before anything was done."""

    async def advance(self, milliseconds: int) -> None:
        """Let the store's time pass, at once."""

    async def stored_names(self) -> set[str]:
        """What the store still holds of requests."""


def submission(
    generation_id: str = "g-0-1",
    *,
    tenant: str = TENANT,
    priority: Priority = Priority.STANDARD,
    deadline_ms: int = 60_000,
    retention_ms: int = 100_000,
    reader_grace_ms: int | None = None,
    request_id: str = "",
    body_digest: bytes = b"",
) -> Submission:
    """A request whose envelope is no text."""
    return Submission(
        generation_id=generation_id,
        tenant=tenant,
        envelope=b"\x00\xff" + generation_id.encode(),
        priority=priority,
        deadline_ms=deadline_ms,
        retention_ms=retention_ms,
        reader_grace_ms=reader_grace_ms,
        request_id=request_id,
        body_digest=body_digest,
    )


def claim(
    worker: str = "worker-1",
    *,
    limit: int = 1,
    held: int = 0,
    fingerprint: str = "print-1",
    nonce: str = "",
) -> Claim:
    """A claim with a nonce of its own."""
    return Claim(worker, nonce or f"nonce-{next(_nonces)}", limit, held, fingerprint)


def names(result: ClaimResult) -> list[str]:
    """Generation ids of what was claimed, in order."""
    return [each.lease.generation_id for each in result.claimed]


async def claim_one(
    world: World, worker: str = "worker-1", fingerprint: str = "print-1"
) -> Claimed:
    """Claim exactly one request for an idle worker."""
    result = await world.queue.claim(claim(worker, fingerprint=fingerprint))
    (claimed,) = result.claimed
    return claimed


def response(offset: int, count: int = 1, *, is_terminal: bool = False) -> bytes:
    """Serialized events from `offset` on."""
    events = [
        event_pb2.Event(offset=offset + i, text_delta=event_pb2.TextDelta(text=f"t{offset + i}"))
        for i in range(count)
    ]
    if is_terminal:
        last = event_pb2.Event(offset=offset + count - 1, finished=event_pb2.Finished())
        events[-1] = last
    return inference_service_pb2.StreamGenerateContentResponse(events=events).SerializeToString()


def append(
    claimed: Claimed, offset: int | None = None, token_ids: Sequence[int] = (), count: int = 1
) -> Append:
    """An append at the offset where the claim stood, or at another."""
    at = claimed.next_offset if offset is None else offset
    return Append(claimed.lease, at, count, tuple(token_ids), response(at, count))


def finish(
    claimed: Claimed,
    offset: int | None = None,
    token_ids: Sequence[int] = (),
    *,
    failure: bytes = b"",
    is_dead_letter: bool = False,
) -> Finish:
    """A finish at the offset where the claim stood, or at another."""
    at = claimed.next_offset if offset is None else offset
    return Finish(
        claimed.lease,
        at,
        1,
        tuple(token_ids),
        response(at, is_terminal=True),
        failure=failure,
        is_dead_letter=is_dead_letter,
    )


async def log_of(world: World, generation_id: str = "g-0-1") -> list[LogEntry]:
    """The whole log."""
    news = await world.queue.read({generation_id: 0}, limit=1_000)
    return news.get(generation_id, [])


def events_of(entries: Sequence[LogEntry]) -> list[event_pb2.Event]:
    """All events; merging entries is concatenating their bytes."""
    merged = b"".join(entry.response for entry in entries)
    return list(inference_service_pb2.StreamGenerateContentResponse.FromString(merged).events)


async def terminal_of(world: World, generation_id: str = "g-0-1") -> event_pb2.Event:
    """The terminal event, checked: the only one, at the end of a log without gap or repeat."""
    entries = await log_of(world, generation_id)
    events = events_of(entries)
    assert [event.offset for event in events] == list(range(len(events)))
    assert [entry.is_terminal for entry in entries] == [False] * (len(entries) - 1) + [True]
    terminals = [event for event in events if event.HasField("finished")]
    assert terminals == events[-1:]
    return events[-1]


async def lapse_leases(world: World) -> None:
    """Let time pass so that leases which nobody renews lapse, with the sweeps that belong to it."""
    for _ in range(2):
        await world.queue.sweep()
        await world.advance(STEP_MS)
    await world.queue.sweep()


async def drain_hints(world: World) -> None:
    """Take all hints."""
    took_ms = 0.0
    while took_ms < 40:
        began = time.monotonic()
        await world.queue.wait_for_work("worker-none", 50)
        took_ms = (time.monotonic() - began) * 1000
