"""Every key of a queue has a life, goes with its request, or is one of a fixed number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facet.queue import keys as keys_module
from facet.queue.limits import MIN_RETENTION_MS, QUOTA_MS
from facet.queue.values import Quota
from tests.support.queue_contract.operating import buried
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    append,
    claim,
    claim_one,
    finish,
    submission,
)

pytestmark = pytest.mark.integration

DEADLINE_MS = 60_000
LIMITED = replace(
    submission(deadline_ms=DEADLINE_MS, retention_ms=1_000, request_id="order-1"),
    quota=Quota(requests_per_minute=100, tokens_per_minute=10**6, max_concurrent=9),
    media_keys=("key-1",),
    affinity=("s:1",),
    follower="reader-1",
)
FIXED = {f":{name}" for name in vars(keys_module)["_SINGLE"]} | {":test-clock"}
# One for each class, of a bounded size.
CLASSES = (":served:",)


async def lives(world: RedisWorld) -> dict[str, int]:
    """What is left of each key that is not one of a fixed number, in ms; -1 for ever."""
    names = {name.removeprefix(world.keys.base): name for name in await world.all_keys()}
    return {
        short: await world.redis.pttl(name)
        for short, name in names.items()
        if short not in FIXED and not short.startswith(CLASSES)
    }


async def run_one(world: RedisWorld, name: str, *, is_dead: bool = False) -> None:
    await world.queue.follow("reader-1", {})
    await world.queue.submit(replace(LIMITED, generation_id=name, request_id=name))
    claimed = await claim_one(world)
    await world.queue.write([append(claimed, token_ids=[1])])
    failure = b"why" if is_dead else b""
    await world.queue.write([finish(claimed, 1, failure=failure, is_dead_letter=is_dead)])


async def test_nothing_stays_for_ever_when_all_was_swept_or_deleted(world: RedisWorld) -> None:
    for number in range(2):
        await run_one(world, f"g-0-{number}")
    for number in range(2, 4):
        await run_one(world, f"g-0-{number}", is_dead=True)
    await world.queue.submit(replace(LIMITED, generation_id="g-0-9", request_id="g-0-9"))
    await world.queue.claim(claim("worker-2", limit=4))
    await world.queue.cancel("g-0-9", TENANT)
    await world.queue.delete("g-0-0", TENANT)
    assert await buried(world) == ["g-0-3", "g-0-2"]
    assert await world.queue.discard(["g-0-2", "g-0-3"]) == 2
    await world.advance(MIN_RETENTION_MS + 1)
    for _ in range(2):
        await world.queue.sweep()
        await world.advance(STEP_MS)
    assert await world.stored_names() == set()
    assert [name for name, life in (await lives(world)).items() if life < 0] == []
    await world.advance(2 * QUOTA_MS)
    assert await lives(world) == {}


async def test_only_what_a_sweep_forgets_stays_when_a_tenant_has_live_requests(
    world: RedisWorld,
) -> None:
    await world.queue.follow("reader-1", {})
    for number, deadline_ms in enumerate((3 * QUOTA_MS, DEADLINE_MS)):
        name = f"g-0-{number}"
        request = replace(LIMITED, generation_id=name, request_id="", deadline_ms=deadline_ms)
        await world.queue.submit(request)
    found = await lives(world)
    for_ever = {name.split(":")[1] for name, life in found.items() if life < 0}
    assert for_ever == {"r", "e", "lane", "heads", "fifo", "index"}
    # The set outlasts the latest of the deadlines, whichever came last.
    assert found[f":live:{TENANT}"] > 3 * QUOTA_MS
    assert found[":media:g-0-1"] > DEADLINE_MS + LIMITED.retention_ms
    assert found[":media:g-0-0"] > 3 * QUOTA_MS + LIMITED.retention_ms


async def test_workers_are_forgotten_when_they_waited_and_never_reported(world: RedisWorld) -> None:
    for number in range(3):
        await world.queue.claim(claim(f"worker-{number}"))
    waiting, held = world.keys.single("waits"), world.keys.single("held")
    assert await world.redis.zcard(waiting) == await world.redis.hlen(held) == 3
    await world.advance(STEP_MS)
    await world.queue.sweep()
    assert await world.redis.exists(waiting, held) == 0
