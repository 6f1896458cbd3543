"""What becomes of streams whose request the store forgot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from facet.core.errors import (
    FacetError,
    GenerationNotFoundError,
    InvalidRequestError,
    LogLostError,
    QueueFullError,
    StoreUnavailableError,
)
from facet.gateway import healing as healing_module
from facet.gateway.healing import Healing
from facet.gateway.log_reader import LogReader
from facet.gateway.subscription import Origin, Subscription
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import Claim, Inbox, Priority, State, Submission, Submitted
from tests.unit.gateway.events import TENANT, entry
from tests.unit.queue.away_shards import AwayShards

pytestmark = pytest.mark.unit


class FailingOver(MemoryQueue):
    """Its inboxes break once, as a connection to a server that died."""

    def __init__(self) -> None:
        super().__init__()
        self.breaks = asyncio.Event()
        self.has_two = asyncio.Event()
        self.submissions: list[Submission] = []

    async def submit(self, submission: Submission) -> Submitted:
        self.submissions.append(submission)
        submitted = await super().submit(submission)
        if (await self.depth()).waiting == 2:
            self.has_two.set()
        return submitted

    async def receive(self, follower: str, cursor: str, *, block_ms: int) -> Inbox:
        if self.breaks.is_set():
            self.breaks.clear()
            raise StoreUnavailableError("away")
        return await super().receive(follower, cursor, block_ms=20)


def _submission(name: str) -> Submission:
    return Submission(name, TENANT, b"envelope", Priority.STANDARD, 60_000, 60_000, 10_000)


@asynccontextmanager
async def _running(reader: LogReader) -> AsyncIterator[None]:
    task = asyncio.create_task(reader.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_request_is_queued_again_when_a_failover_lost_it() -> None:
    queue = FailingOver()
    reader = LogReader(queue)
    kept = await queue.submit(_submission("g-kept"))
    durable = replace(_submission("g-lost"), replicas=1)
    origin = Origin(durable, kept.origin, time.monotonic() + 30)
    async with _running(reader):
        with reader.subscribe("g-lost", origin=origin):
            queue.breaks.set()
            async with asyncio.timeout(5):
                await queue.has_two.wait()
    claimed = (await queue.claim(Claim("w", "n", 2, 0, "f"))).claimed
    assert [each.lease.generation_id for each in claimed] == ["g-kept", "g-lost"]
    assert 0 < claimed[1].remaining_ms <= 30_000
    # Nobody is told of an acceptance: no replica is waited for.
    assert queue.submissions[-1].replicas == 0


@pytest.mark.parametrize("store", ["", "another"])
async def test_loss_is_told_when_the_store_came_back_as_another(store: str) -> None:
    queue = FailingOver()
    reader = LogReader(queue)
    if store:
        await queue.submit(_submission("g-new"))
    origin = Origin(_submission("g-lost"), "that-was", time.monotonic() + 30)
    async with _running(reader):
        with reader.subscribe("g-lost", origin=origin) as subscription:
            queue.breaks.set()
            with pytest.raises(LogLostError) as caught:
                assert await subscription.next(5) is None
    assert caught.value.metadata == {"generation_id": "g-lost", "next_offset": "0"}


class Forgetful(MemoryQueue):
    """A store with a history that has none of the requests of these tests."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal: FacetError | None = None

    async def submit(self, submission: Submission) -> Submitted:
        if self.refusal:
            raise self.refusal
        return await super().submit(submission)


def _reader_of(name: str, origin: Origin | None = None) -> Subscription:
    return Subscription(name, from_offset=0, buffer_bytes=1000, on_room=lambda: None, origin=origin)


def _origin(store: str, name: str = "g-lost", **fields: Any) -> Origin:
    return Origin(replace(_submission(name), **fields), store, time.monotonic() + 30)


@pytest.fixture
async def queue() -> Forgetful:
    queue = Forgetful()
    await queue.submit(_submission("g-other"))
    return queue


async def store_of(queue: Forgetful) -> str:
    return (await queue.origins(["g-lost"]))["g-lost"]


async def test_all_are_queued_again_when_many_are_missing(queue: Forgetful) -> None:
    store = await store_of(queue)
    missing = [_reader_of(f"g-{n}", _origin(store, f"g-{n}")) for n in range(40)]
    await Healing(queue, "f").look_after(missing)
    assert (await queue.depth()).waiting == 41
    assert not any(each.is_over for each in missing)


@pytest.mark.parametrize("request_id", ["", "r"])
async def test_reader_is_told_when_what_it_misses_was_deleted(
    queue: Forgetful, request_id: str
) -> None:
    origin = _origin(await store_of(queue), request_id=request_id)
    await queue.submit(origin.submission)
    await queue.cancel("g-lost", TENANT)
    await queue.delete("g-lost", TENANT)
    reader = _reader_of("g-lost", origin)
    await Healing(queue, "f").look_after([reader])
    with pytest.raises(GenerationNotFoundError):
        await reader.next(1)
    assert (await queue.depth()).waiting == 1


async def test_request_id_names_it_again_when_it_is_queued_again(queue: Forgetful) -> None:
    origin = _origin(await store_of(queue), request_id="r", body_digest=b"d")
    await Healing(queue, "f").look_after([_reader_of("g-lost", origin)])
    repeated = await queue.submit(
        replace(_submission("g-repeat"), request_id="r", body_digest=b"d")
    )
    assert (repeated.generation_id, repeated.is_new) == ("g-lost", False)


@pytest.mark.parametrize("digest", [b"d", b"another"])
async def test_it_runs_on_when_another_has_its_request_id_meanwhile(
    queue: Forgetful, digest: bytes
) -> None:
    await queue.submit(replace(_submission("g-taken"), request_id="r", body_digest=digest))
    origin = _origin(await store_of(queue), request_id="r", body_digest=b"d")
    reader = _reader_of("g-lost", origin)
    await Healing(queue, "f").look_after([reader])
    assert (await queue.status("g-lost", TENANT)).state is State.WAITING
    assert not reader.is_over


@pytest.mark.parametrize(
    ("refusal", "ends"), [(QueueFullError("full"), False), (InvalidRequestError("no"), True)]
)
async def test_it_is_tried_again_when_the_queue_is_only_full(
    queue: Forgetful, refusal: FacetError, *, ends: bool
) -> None:
    reader = _reader_of("g-lost", _origin(await store_of(queue)))
    healing = Healing(queue, "f")
    queue.refusal = refusal
    await healing.look_after([reader])
    assert reader.is_over is ends
    queue.refusal = None
    await healing.look_after([reader])
    assert (await queue.depth()).waiting == (1 if ends else 2)


async def test_readers_elsewhere_wait_for_its_gateway_when_it_is_missing(
    queue: Forgetful, monkeypatch: pytest.MonkeyPatch
) -> None:
    healing, reader = Healing(queue, "f"), _reader_of("g-lost")
    await healing.look_after([reader])
    assert not reader.is_over
    monkeypatch.setattr(healing_module, "LOST_SECONDS", 0.0)
    # It was there in between: the time counts anew.
    await healing.look_after([])
    monkeypatch.setattr(healing_module, "LOST_SECONDS", 0.05)
    await healing.look_after([reader])
    assert not reader.is_over
    await asyncio.sleep(0.06)
    await healing.look_after([reader])
    with pytest.raises(LogLostError):
        await reader.next(0)


async def test_it_is_not_queued_again_when_its_end_was_read(queue: Forgetful) -> None:
    reader = _reader_of("g-lost", _origin(await store_of(queue)))
    reader.push([entry(0, "a", is_terminal=True)])
    await Healing(queue, "f").look_after([reader])
    assert (await queue.depth()).waiting == 1
    assert reader.origin is None


async def test_it_is_lost_by_the_history_of_its_own_shard_when_another_goes_on() -> None:
    shards = AwayShards(2)
    first = await shards.queue.submit(_submission("g-0-here"))
    second = await shards.queue.submit(_submission("g-1-here"))
    shards.shards[1]._ledger.origin = "another"
    kept = _reader_of("g-0-lost", _origin(first.origin, "g-0-lost"))
    lost = _reader_of("g-1-lost", _origin(second.origin, "g-1-lost"))
    await Healing(shards.queue, "f").look_after([kept, lost])
    assert not kept.is_over
    assert (await shards.queue.status("g-0-lost", TENANT)).state is State.WAITING
    with pytest.raises(LogLostError):
        await lost.next(0)
