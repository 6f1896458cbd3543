"""A worker on several shards: turns, limits, hints, and shards that do not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from facet.core.errors import StoreUnavailableError
from facet.queue import sharded_claims
from facet.queue.values import Claim, ClaimResult, Needs, Room, Verdict
from tests.support.queue_contract.world import (
    append,
    claim,
    finish,
    names,
    submission,
)
from tests.unit.queue.away_shards import AwayQueue, AwayShards

pytestmark = pytest.mark.unit


@pytest.fixture
async def three() -> AsyncIterator[AwayShards]:
    shards = AwayShards(3)
    yield shards
    await shards.queue.close()


async def fill(shards: AwayShards, count: int) -> None:
    """So many requests in each shard."""
    for shard in range(len(shards.shards)):
        for number in range(count):
            await shards.queue.submit(submission(f"g-{shard}-{number}"))


async def test_shards_are_served_in_turn_when_all_hold_work(three: AwayShards) -> None:
    await fill(three, 2)
    first = [names(await three.queue.claim(claim(limit=1)))[0] for _ in range(3)]
    assert sorted(first) == ["g-0-0", "g-1-0", "g-2-0"]


async def test_one_shard_is_asked_when_it_fills_the_worker(three: AwayShards) -> None:
    await fill(three, 4)
    assert len((await three.queue.claim(claim(limit=4))).claimed) == 4
    assert sum(len(shard.claims) for shard in three.shards) == 1


async def test_limit_and_room_hold_over_all_when_several_shards_give(three: AwayShards) -> None:
    await fill(three, 2)
    made = Claim("worker-1", "nonce", 5, 1, "print-1", room=Room(9, 9_000, 5, 5_000))
    got = await three.queue.claim(made)
    assert len(got.claimed) == 5
    asked = sorted(
        (each for shard in three.shards for each in shard.claims), key=lambda each: -each.limit
    )
    charged = got.claimed[0].charged_tokens
    assert [(each.limit, each.held) for each in asked] == [(5, 1), (3, 3), (1, 5)]
    assert [each.room.free_sequences for each in asked] == [5, 3, 1]
    assert [each.room.free_tokens for each in asked] == [
        5_000,
        5_000 - 2 * charged,
        5_000 - 4 * charged,
    ]


async def test_claim_is_passed_through_when_there_is_one_shard() -> None:
    one = AwayShards(1)
    made = claim(limit=3)
    await one.queue.claim(made)
    assert one.shards[0].claims[0] is made
    await one.queue.close()


async def die(shards: AwayShards, worker: str) -> None:
    """The worker goes without a word: its leases are reaped as deaths."""
    for shard in shards.shards:
        for name in list(shard._ledger.leases):
            record = shard._ledger.records[name]
            record.deaths += 1
            shard._ledger.requeue(record, f"lost {worker}")


async def test_nothing_is_taken_beside_a_suspect_when_it_was_given(three: AwayShards) -> None:
    await three.queue.submit(submission("g-1-suspect"))
    for _ in range(2):
        await three.queue.claim(claim(limit=1))
        await die(three, "worker-1")
    await fill(three, 1)
    (alone,) = (await claimed_until_alone(three)).claimed
    assert alone.is_alone
    assert alone.lease.generation_id == "g-1-suspect"


async def claimed_until_alone(shards: AwayShards) -> ClaimResult:
    """A worker that gives back what it gets claims until it is given the suspect."""
    for _ in range(4):
        result = await shards.queue.claim(claim(limit=3))
        if any(each.is_alone for each in result.claimed):
            return result
        await shards.queue.hand_back([each.lease for each in result.claimed])
    raise AssertionError("nobody was given the suspect")


class Reserving(AwayQueue):
    """Has the worker empty itself."""

    is_reserved = True

    async def claim(self, claim: Claim) -> ClaimResult:
        if self.is_reserved:
            return ClaimResult((), 200, may_take_hints=False)
        return await super().claim(claim)


async def test_worker_takes_nothing_elsewhere_when_it_empties_itself_for_a_shard() -> None:
    shards = AwayShards(2)
    reserving = Reserving(0)
    shards.shards[0] = reserving
    shards.queue._shards._queues[0] = reserving
    await fill(shards, 3)
    results = [await shards.queue.claim(claim(limit=1, held=1)) for _ in range(4)]
    # In turn it may have begun with the other shard, once.
    assert sum(len(result.claimed) for result in results) <= 1
    assert not results[-1].may_take_hints
    assert results[-1].next_check_ms == 200
    reserving.is_reserved = False
    assert len((await shards.queue.claim(claim(limit=6))).claimed) >= 5
    await shards.queue.close()


async def test_others_are_served_when_one_shard_does_not_answer(three: AwayShards) -> None:
    await fill(three, 2)
    three.shards[1].is_away = True
    got = names(await three.queue.claim(claim(limit=9)))
    assert sorted(got) == ["g-0-0", "g-0-1", "g-2-0", "g-2-1"]
    asked = len(three.shards[1].claims)
    await three.queue.claim(claim(limit=9))
    assert len(three.shards[1].claims) == asked
    three.shards[0].is_away = three.shards[2].is_away = True
    with pytest.raises(StoreUnavailableError):
        await three.queue.claim(claim(limit=9))


async def test_lost_answer_is_asked_for_under_its_nonce_when_the_shard_is_back(
    three: AwayShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded_claims, "SETTLE_SECONDS", 0.0)
    await fill(three, 1)
    three.shards[1].loses_answers = True
    assert len((await three.queue.claim(claim(limit=9, nonce="first"))).claimed) == 2
    assert (await three.shards[1].depth()).leased == 1
    three.shards[1].loses_answers = False
    (late,) = (await three.queue.claim(claim(limit=9, nonce="second"))).claimed
    assert (late.lease.generation_id, late.lease.nonce) == ("g-1-0", "first")
    assert (await three.queue.write([finish(late)]))[0].verdict is Verdict.OK


async def test_shard_that_hangs_is_left_out_until_a_wait_on_it_is_answered(
    three: AwayShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded_claims, "SETTLE_SECONDS", 0.0)
    three.shards[1].is_away = True
    for _ in range(5):
        await three.queue.claim(claim())
    # The first one, and one look at whether it is back.
    assert len(three.shards[1].claims) == 2
    await three.queue.submit(submission("g-1-1"))
    three.shards[1].is_away = False
    assert not (await three.queue.claim(claim())).claimed
    assert await three.queue.wait_for_work("worker-1", 1_000)
    assert names(await three.queue.claim(claim())) == ["g-1-1"]


async def test_same_leases_are_told_when_no_shard_answered_and_the_claim_repeats(
    three: AwayShards,
) -> None:
    await fill(three, 1)
    for shard in three.shards:
        shard.loses_answers = True
    with pytest.raises(StoreUnavailableError):
        await three.queue.claim(claim(limit=9, nonce="once"))
    for shard in three.shards:
        shard.loses_answers = False
    assert len((await three.queue.claim(claim(limit=9, nonce="once"))).claimed) == 3


@pytest.mark.parametrize("shard", [0, 1, 2])
async def test_wait_ends_when_any_shard_has_work(three: AwayShards, shard: int) -> None:
    waiting = asyncio.create_task(three.queue.wait_for_work("worker-1", 1_000))
    await asyncio.sleep(0)
    began = time.monotonic()
    await three.queue.submit(submission(f"g-{shard}-1"))
    assert await waiting
    assert time.monotonic() - began < 0.5


async def test_shard_of_the_hint_is_asked_first_when_the_worker_claims(three: AwayShards) -> None:
    for number, shard in enumerate((2, 0, 1, 1, 2)):
        name = f"g-{shard}-{number}"
        waiting = asyncio.create_task(three.queue.wait_for_work("worker-1", 1_000))
        await three.queue.submit(submission(name))
        await waiting
        before = [len(each.claims) for each in three.shards]
        (claimed,) = (await three.queue.claim(claim(limit=1))).claimed
        assert claimed.lease.generation_id == name
        before[shard] += 1
        assert [len(each.claims) for each in three.shards] == before
        await three.queue.write([finish(claimed)])
        await three.shards[shard].delete(name, "tenant-a")


async def test_hint_is_passed_on_when_the_worker_is_full_from_another_shard(
    three: AwayShards,
) -> None:
    waiting = asyncio.create_task(three.queue.wait_for_work("worker-1", 1_000))
    await asyncio.sleep(0)
    await fill(three, 1)
    assert await waiting
    await three.queue.claim(claim(limit=1))
    # Others are woken for the two that are left.
    taken = [await shard.wait_for_work("worker-2", 300) for shard in three.shards]
    assert sum(taken) >= 2


async def test_hint_is_passed_on_when_it_comes_after_the_wait(three: AwayShards) -> None:
    waiting = asyncio.create_task(three.queue.wait_for_work("worker-1", 1_000))
    await asyncio.sleep(0)
    await three.queue.submit(submission("g-0-1"))
    assert await waiting
    await three.queue.claim(claim(limit=1))
    # The worker is busy, its calls to the other shards are still open.
    await three.queue.submit(submission("g-2-1"))
    began = time.monotonic()
    assert await three.shards[2].wait_for_work("worker-2", 1_000)
    assert time.monotonic() - began < 0.5


async def test_hint_is_passed_on_when_the_wait_was_given_up(three: AwayShards) -> None:
    waiting = asyncio.create_task(three.queue.wait_for_work("worker-1", 1_000))
    await asyncio.sleep(0)
    await three.queue.submit(submission("g-1-1"))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await three.shards[1].wait_for_work("worker-2", 1_000)


async def test_wait_goes_on_when_one_shard_does_not_answer(three: AwayShards) -> None:
    three.shards[0].is_away = True
    began = time.monotonic()
    assert not await three.queue.wait_for_work("worker-1", 600)
    assert time.monotonic() - began >= 0.55
    # It was tried again, with pauses.
    assert 2 <= three.shards[0].calls <= 4
    for shard in three.shards:
        shard.is_away = True
    with pytest.raises(StoreUnavailableError):
        await three.queue.wait_for_work("worker-1", 1_000)


async def test_results_come_in_order_when_writes_go_to_several_shards(three: AwayShards) -> None:
    await fill(three, 2)
    claimed = (await three.queue.claim(claim(limit=6))).claimed
    writes = [append(each, count=number + 1) for number, each in enumerate(claimed)]
    before = [shard.calls for shard in three.shards]
    results = await three.queue.write(writes)
    assert [result.next_offset for result in results] == [1, 2, 3, 4, 5, 6]
    assert [shard.calls for shard in three.shards] == [calls + 1 for calls in before]
    lease = replace(claimed[0].lease, generation_id="g-9-1")
    unserved = replace(append(claimed[0]), lease=lease)
    assert (await three.queue.write([unserved]))[0].verdict is Verdict.REWOUND


async def test_others_are_renewed_when_one_shard_does_not_answer(three: AwayShards) -> None:
    await fill(three, 1)
    leases = [each.lease for each in (await three.queue.claim(claim(limit=3))).claimed]
    three.shards[1].is_away = True
    verdicts = await three.queue.heartbeat("worker-1", "print-1", leases)
    by_name = {lease.generation_id: each for lease, each in zip(leases, verdicts, strict=True)}
    assert by_name == {
        "g-0-0": Verdict.OK,
        "g-1-0": Verdict.UNANSWERED,
        "g-2-0": Verdict.OK,
    }
    three.shards[0].is_away = three.shards[2].is_away = True
    with pytest.raises(StoreUnavailableError):
        await three.queue.heartbeat("worker-1", "print-1", leases)


async def test_leases_return_to_their_shards_when_handed_back(three: AwayShards) -> None:
    await fill(three, 1)
    leases = [each.lease for each in (await three.queue.claim(claim(limit=3))).claimed]
    await three.queue.hand_back(leases, context_tokens=4_096)
    assert {at: each.waiting for at, each in (await three.queue.depths()).items()} == {
        0: 1,
        1: 1,
        2: 1,
    }
    seen = await three.queue.inspect("g-2-0")
    assert seen.needs == Needs(context_tokens=4_096)
