"""What the queue leaves in Redis: names, lives and bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facet.queue import terminals
from facet.queue.keys import idempotency_name
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.queue_contract.world import (
    TENANT,
    append,
    claim,
    claim_one,
    finish,
    lapse_leases,
    log_of,
    submission,
)

pytestmark = pytest.mark.integration


async def test_live_requests_never_lapse_when_waiting_or_leased(world: RedisWorld) -> None:
    await world.queue.submit(submission("g-0-1", request_id="order-1", reader_grace_ms=10_000))
    await world.queue.submit(submission("g-0-2"))
    await world.queue.write([append(await claim_one(world), token_ids=[1])])
    names = await world.stored_names()
    assert len(names) == 8
    assert {await world.redis.pttl(name) for name in names} == {-1}


@pytest.mark.parametrize("is_leased", [False, True])
async def test_everything_lapses_after_the_retention_when_ended(
    world: RedisWorld, is_leased: bool
) -> None:
    await world.queue.submit(
        submission(request_id="order-1", reader_grace_ms=10_000, retention_ms=90_000)
    )
    if is_leased:
        await world.queue.write([append(await claim_one(world), token_ids=[1])])
    await world.queue.cancel("g-0-1", TENANT)
    names = await world.stored_names()
    assert not any(":e:" in name for name in names)
    assert len(names) == (5 if is_leased else 4)
    await world.advance(90_001)
    await world.queue.sweep()
    assert await world.stored_names() == set()
    assert not await world.redis.exists(world.keys.of("index", TENANT))


async def test_indexes_are_empty_when_all_requests_have_ended(world: RedisWorld) -> None:
    for i in range(4):
        await world.queue.submit(submission(f"g-0-{i}", reader_grace_ms=60_000))
        await world.advance(1)
    first, second, _ = (await world.queue.claim(claim(limit=3))).claimed
    await world.queue.write([finish(first), append(second, token_ids=[1])])
    await lapse_leases(world)
    await world.queue.claim(claim(limit=9))
    for i in range(4):
        await world.queue.cancel(f"g-0-{i}", TENANT)
    for name in ("lanes", "leases", "timers", "alone", "dead"):
        assert not await world.redis.exists(world.keys.single(name)), name


async def test_dead_letters_stand_at_their_ms_when_the_first_release_is_to_read_them(
    world: RedisWorld,
) -> None:
    """It takes the score for the time of death in ms, and these pages for whole numbers."""
    for i in range(3):
        await world.queue.submit(submission(f"g-0-{i}"))
    claimed = (await world.queue.claim(claim(limit=3))).claimed
    await world.queue.write([finish(each, is_dead_letter=True) for each in claimed])
    ended = [(await world.queue.status(f"g-0-{i}", TENANT)).ended_ms for i in range(3)]
    letters = await world.redis.zrange(world.keys.single("dead"), 0, -1, withscores=True)
    scores = [score for _, score in letters]
    assert len(set(scores)) == 3
    assert all(score.is_integer() for score in scores)
    assert min(ended) <= min(scores)
    assert max(scores) <= max(ended) + 2


async def test_little_is_left_when_all_has_ended_and_its_retention_passed(
    world: RedisWorld,
) -> None:
    await world.queue.report("worker-1", b"report")
    await world.queue.drain_worker("worker-1")
    await world.queue.follow("reader-1", {})
    for i in range(6):
        request = submission(f"g-0-{i}", reader_grace_ms=60_000, request_id=f"order-{i}")
        await world.queue.submit(replace(request, affinity=("s:1",), follower="reader-1"))
    claimed = (await world.queue.claim(claim(limit=4))).claimed
    await world.queue.write(
        [
            append(claimed[0], token_ids=[1]),
            finish(claimed[1]),
            finish(claimed[2], is_dead_letter=True),
            append(claimed[3], token_ids=[1]),
        ]
    )
    await world.queue.hand_back([claimed[3].lease])
    await lapse_leases(world)
    # The reader's grace and the lives of dead letters, inboxes and affinities pass.
    for _ in range(2):
        await world.advance(world.limits.dead_letter_ms)
        for _ in range(3):
            await world.queue.sweep()
            await world.advance(world.limits.lease_ms // 2)
    kept = {key.removeprefix(f"{world.keys.base}:") for key in await world.all_keys()}
    left = {"origin", "load", "clock", "pace", "state", "wake", "served:2", "test-clock"}
    left |= {"accepted", "arrivals"}
    # Usage records have a life of their own.
    assert kept <= left | {"usage"}
    load = await world.redis.hgetall(world.keys.single("load"))
    assert {int(value) for value in load.values()} == {0}


async def test_no_index_holds_a_request_when_readers_touch_it_ended(world: RedisWorld) -> None:
    await world.queue.submit(submission(reader_grace_ms=60_000))
    await world.queue.cancel("g-0-1", TENANT)
    await world.queue.follow("reader-1", {"g-0-1": 0})
    assert not await world.redis.exists(world.keys.single("timers"))


async def test_lapsed_reports_are_dropped_when_swept(world: RedisWorld) -> None:
    await world.queue.report("worker-1", b"report")
    await world.advance(world.limits.report_ms + 1_000)
    await world.queue.sweep()
    assert not await world.redis.exists(world.keys.single("workers"), world.keys.single("reports"))


@pytest.mark.parametrize("is_leased", [False, True])
async def test_nothing_stands_in_the_way_when_records_vanished(
    world: RedisWorld, is_leased: bool
) -> None:
    await world.queue.submit(
        submission(request_id="order-1", reader_grace_ms=1_000, deadline_ms=2_000)
    )
    await world.queue.submit(submission("g-0-2"))
    if is_leased:
        await claim_one(world)
    await world.queue.sweep()
    await world.redis.delete(world.keys.of("record", "g-0-1"))
    if not is_leased:
        assert (await claim_one(world)).lease.generation_id == "g-0-2"
    await lapse_leases(world)
    assert (await world.queue.depth()).waiting == 1
    for name in ("leases", "timers"):
        assert await world.redis.zscore(world.keys.single(name), "g-0-1") is None, name


async def test_request_id_is_free_and_stays_when_its_record_vanished(world: RedisWorld) -> None:
    await world.queue.submit(submission(request_id="order-1"))
    await world.queue.cancel("g-0-1", TENANT)
    await world.redis.delete(world.keys.of("record", "g-0-1"))
    again = submission("g-0-2", request_id="order-1", body_digest=b"another")
    assert (await world.queue.submit(again)).is_new
    name = world.keys.of("idem", idempotency_name(TENANT, "order-1"))
    assert await world.redis.pttl(name) == -1


async def test_all_keys_share_one_slot_when_everything_is_used(world: RedisWorld) -> None:
    await world.queue.submit(submission(request_id="order-1", reader_grace_ms=10_000))
    await world.queue.write([append(await claim_one(world), token_ids=[1])])
    await world.queue.report("worker-1", b"report")
    await world.queue.sweep()
    ours = [
        key.decode()
        async for key in world.redis.scan_iter("*", 1000)
        if world.keys.base.strip("{}") in key.decode()
    ]
    assert len(ours) > 10
    assert {key.partition("}")[0] + "}" for key in ours} == {world.keys.base}


@pytest.mark.parametrize(
    ("event_count", "token_count"), [(0, 0), (1, 0), (127, 127), (128, 128), (300, 16_384)]
)
async def test_scripts_write_what_protobuf_would_when_ending(
    world: RedisWorld, event_count: int, token_count: int
) -> None:
    await world.queue.submit(submission())
    claimed = await claim_one(world)
    if event_count:
        await world.queue.write([append(claimed, 0, range(token_count), count=event_count)])
    await world.queue.cancel("g-0-1", TENANT)
    ending = terminals.CANCELLED.running
    expected = terminals.terminal_response(event_count, token_count, ending)
    assert (await log_of(world))[-1].response == expected
