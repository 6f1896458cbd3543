"""Claiming by free capacity."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from facet.core.errors import StoreUnavailableError
from facet.queue.id_words import MAX_CANDIDATES
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import Claim, ClaimResult
from facet.worker import claimer as claimer_module
from facet.worker.claimer import Claimer
from facet.worker.engine.simulated import SimulatedEngine
from facet.worker.runs import Runs
from tests.unit.worker.scripted import (
    Bench,
    PacedEngine,
    envelope,
    events_of,
    request,
    submit,
    until,
)

pytestmark = pytest.mark.unit


class RecordingQueue(MemoryQueue):
    """Records claims; loses `lost_replies` replies to them; marks claims as suspects if told."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[Claim] = []
        self.lost_replies = 0
        self.makes_suspects = False
        self.answer = asyncio.Event()
        self.answer.set()

    async def claim(self, claim: Claim) -> ClaimResult:
        self.claims.append(claim)
        result = await super().claim(claim)
        await self.answer.wait()
        if self.lost_replies:
            self.lost_replies -= 1
            raise StoreUnavailableError("reply lost")
        if self.makes_suspects:
            claimed = tuple(replace(each, is_alone=True) for each in result.claimed)
            return replace(result, claimed=claimed)
        return result


class Small(PacedEngine):
    """Runs two requests at once."""

    @property
    def capacity(self) -> int:
        return 2


@asynccontextmanager
async def claiming(
    queue: MemoryQueue, engine: SimulatedEngine | None = None
) -> AsyncIterator[tuple[Runs, Claimer, Bench]]:
    bench = Bench(engine or Small(), queue)
    runs = Runs(queue, bench.writer, bench.place)
    claimer = Claimer(queue, bench.engine, runs, worker="w", claim_ahead=1)
    task = asyncio.create_task(claimer.run())
    yield runs, claimer, bench
    claimer.stop()
    await asyncio.wait_for(task, 5)
    await runs.drain(0)
    await bench.close()


async def submit_many(queue: MemoryQueue, count: int) -> None:
    for index in range(count):
        name = f"g{index}"
        await submit(queue, name, envelope(name, request()).SerializeToString())


async def test_no_more_is_held_than_capacity_and_claim_ahead() -> None:
    queue = RecordingQueue()
    await submit_many(queue, 6)
    async with claiming(queue) as (runs, _, bench):
        await until(lambda: len(runs) == 3, 5)
        assert (await queue.depth()).waiting == 3
        assert isinstance(bench.engine, Small)
        bench.engine.allow(10_000)
        await until(lambda: len(runs) == 0 and len(queue.claims) > 3, 10)
        assert (await queue.depth()).waiting == 0
    assert max(claim.held + claim.limit for claim in queue.claims) == 3


async def submit_candidates(queue: MemoryQueue, name: str, count: int) -> None:
    made = request(generationConfig={"candidateCount": count})
    await submit(queue, name, envelope(name, made).SerializeToString(), sequences=count)


async def test_seats_of_all_candidates_are_taken_when_a_request_has_several() -> None:
    queue = RecordingQueue()
    await submit_candidates(queue, "several", 2)
    await submit_many(queue, 3)
    async with claiming(queue) as (runs, _, bench):
        await until(lambda: len(runs) == 2, 5)
        assert runs.sequences() == 3
        assert (await queue.depth()).waiting == 2
        assert isinstance(bench.engine, Small)
        bench.engine.allow(10_000)
        await until(lambda: len(runs) == 0, 10)


async def test_a_request_is_taken_alone_when_it_has_more_candidates_than_there_are_seats() -> None:
    queue = RecordingQueue()
    await submit_candidates(queue, "most", MAX_CANDIDATES)
    await submit_many(queue, 1)
    async with claiming(queue) as (runs, _, bench):
        await until(lambda: len(runs) == 1, 5)
        assert runs.sequences() == MAX_CANDIDATES
        assert isinstance(bench.engine, Small)
        await asyncio.wait_for(bench.engine.starved.wait(), 5)
        assert (len(runs), bench.engine.running()) == (1, 2)
        bench.engine.allow(10_000)
        await until(lambda: len(runs) == 0 and len(queue.claims) > 2, 10)
    events = await events_of(queue, "most")
    assert sum(event.HasField("candidate_finished") for event in events) == MAX_CANDIDATES


async def test_what_comes_later_is_claimed_at_once_when_the_worker_waited() -> None:
    queue = RecordingQueue()
    async with claiming(queue) as (runs, _, _):
        await until(lambda: len(queue.claims) == 1, 5)
        await submit_many(queue, 1)
        await until(lambda: len(runs) == 1, 5)


async def test_hints_are_left_to_others_when_no_seat_is_free() -> None:
    queue = RecordingQueue()
    await submit_many(queue, 2)
    async with claiming(queue) as (runs, _, _):
        await until(lambda: len(queue.claims) == 3 and len(runs) == 2, 5)
        await submit(queue, "more", envelope("more", request()).SerializeToString())
        await asyncio.sleep(0)
        assert len(queue.claims) == 3
        assert await queue.wait_for_work("idle", 1)


async def test_one_more_is_claimed_within_a_second_when_nobody_has_a_free_seat() -> None:
    queue = RecordingQueue()
    await submit_many(queue, 2)
    async with claiming(queue) as (runs, _, _):
        await until(lambda: len(queue.claims) == 3 and len(runs) == 2, 5)
        await submit(queue, "more", envelope("more", request()).SerializeToString())
        await until(lambda: len(runs) == 3, 5)


async def test_the_nonce_is_repeated_when_the_reply_was_lost() -> None:
    queue = RecordingQueue()
    queue.lost_replies = 2
    await submit_many(queue, 1)
    async with claiming(queue) as (runs, _, _):
        await until(lambda: len(runs) == 1, 5)
        assert len({claim.nonce for claim in queue.claims[:3]}) == 1


async def test_nothing_is_claimed_beside_a_suspect() -> None:
    queue = RecordingQueue()
    queue.makes_suspects = True
    await submit_many(queue, 1)
    async with claiming(queue) as (runs, _, bench):
        await until(lambda: len(runs) == 1, 5)
        count = len(queue.claims)
        await submit_many(queue, 3)
        assert isinstance(bench.engine, Small)
        await asyncio.wait_for(bench.engine.starved.wait(), 5)
        assert len(queue.claims) == count
        bench.engine.allow(10_000)
        await until(lambda: len(queue.claims) > count, 10)


async def test_what_a_late_answer_brings_is_handed_back_when_the_worker_stops() -> None:
    queue = RecordingQueue()
    queue.answer.clear()
    await submit_many(queue, 2)
    async with claiming(queue) as (runs, claimer, _):
        await until(lambda: len(queue.claims) == 1, 5)
        claimer.stop()
        queue.answer.set()
    assert len(runs) == 0
    assert (await queue.depth()).waiting == 2


class ReservingQueue(RecordingQueue):
    """Gives a worker that holds something nothing more; notes which claims hint waits follow."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_after: list[Claim] = []

    async def claim(self, claim: Claim) -> ClaimResult:
        if not claim.held:
            return await super().claim(claim)
        self.claims.append(claim)
        return ClaimResult((), 60_000, may_take_hints=False)

    async def wait_for_work(self, worker: str, timeout_ms: int) -> bool:
        self.waits_after.append(self.claims[-1])
        return await super().wait_for_work(worker, timeout_ms)


async def test_hints_are_left_to_others_when_the_worker_is_to_empty_itself() -> None:
    queue = ReservingQueue()
    await submit_many(queue, 1)
    async with claiming(queue) as (_, _, bench):
        await until(lambda: len(queue.claims) == 2, 5)
        assert isinstance(bench.engine, Small)
        bench.engine.allow(10_000)
        await until(lambda: len(queue.claims) > 2 and bool(queue.waits_after), 10)
    assert [claim.held for claim in queue.claims[:3]] == [0, 1, 0]
    assert queue.claims[1] not in queue.waits_after


class AwayOnce(MemoryQueue):
    """The first claim meets a store that is away; tells when claims came."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed_at: list[float] = []

    async def claim(self, claim: Claim) -> ClaimResult:
        self.claimed_at.append(time.monotonic())
        if len(self.claimed_at) == 1:
            raise StoreUnavailableError("away")
        return await super().claim(claim)


async def test_owners_of_leases_come_first_when_the_store_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claimer_module, "_SETTLE_SECONDS", 0.3)
    queue = AwayOnce()
    async with claiming(queue):
        await until(lambda: len(queue.claimed_at) > 1, 5)
    assert queue.claimed_at[1] - queue.claimed_at[0] >= 0.3
