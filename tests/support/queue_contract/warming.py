"""Contract of affinity: preferred, held for a moment, never for longer."""

from __future__ import annotations

import time
from dataclasses import replace

from facet.queue.limits import HOLD_MS, HOLD_SLACK, MAX_WAIT_MS, WARM_MS
from tests.support.queue_contract.world import (
    World,
    append,
    claim,
    claim_one,
    drain_hints,
    finish,
    names,
    submission,
)


async def warm(world: World, worker: str = "worker-1", affinity: str = "s:1") -> None:
    """Let a worker serve an affinity, and then wait for work."""
    await world.queue.submit(replace(submission(f"g-0-{affinity}"), affinity=(affinity,)))
    await world.queue.write([finish(await claim_one(world, worker))])
    assert names(await world.queue.claim(claim(worker))) == []


class AffinityContract:
    async def test_fresh_request_is_left_when_a_warm_worker_waits(self, world: World) -> None:
        await world.queue.submit(replace(submission("g-0-1"), affinity=("s:1",)))
        await world.queue.write([finish(await claim_one(world, "worker-1"))])
        assert names(await world.queue.claim(claim("worker-1"))) == []
        await world.queue.submit(replace(submission("g-0-2"), affinity=("s:1",)))
        held = await world.queue.claim(claim("worker-2"))
        assert (names(held), 0 < held.next_check_ms <= HOLD_MS + 1) == ([], True)
        assert names(await world.queue.claim(claim("worker-1"))) == ["g-0-2"]

    async def test_request_is_taken_by_another_when_the_hold_is_over(self, world: World) -> None:
        await world.queue.submit(replace(submission("g-0-1"), affinity=("s:1",)))
        await world.queue.write([finish(await claim_one(world, "worker-1"))])
        await world.queue.claim(claim("worker-1"))
        await world.queue.submit(replace(submission("g-0-2"), affinity=("s:1",)))
        assert names(await world.queue.claim(claim("worker-2"))) == []
        await world.advance(HOLD_MS + 1)
        assert names(await world.queue.claim(claim("worker-2"))) == ["g-0-2"]

    async def test_nothing_is_held_when_the_warm_worker_retired(self, world: World) -> None:
        await world.queue.submit(replace(submission("g-0-1"), affinity=("s:1",)))
        await world.queue.write([finish(await claim_one(world, "worker-1"))])
        await world.queue.claim(claim("worker-1"))
        await world.queue.retire("worker-1")
        await world.queue.submit(replace(submission("g-0-2"), affinity=("s:1",)))
        assert names(await world.queue.claim(claim("worker-2"))) == ["g-0-2"]

    async def test_nothing_is_held_when_the_warm_worker_waits_no_more(self, world: World) -> None:
        await warm(world)
        await world.advance(MAX_WAIT_MS + HOLD_MS + 1)
        await world.queue.submit(replace(submission("g-0-2"), affinity=("s:1",)))
        assert names(await world.queue.claim(claim("worker-2"))) == ["g-0-2"]

    async def test_nothing_is_held_when_the_warm_worker_got_its_fill(self, world: World) -> None:
        await warm(world)
        await world.queue.submit(submission("g-0-2"))
        assert names(await world.queue.claim(claim("worker-1"))) == ["g-0-2"]
        await world.queue.submit(replace(submission("g-0-3"), affinity=("s:1",)))
        assert names(await world.queue.claim(claim("worker-2"))) == ["g-0-3"]

    async def test_request_is_stolen_when_the_warm_worker_has_much_more(self, world: World) -> None:
        await warm(world)
        await world.queue.claim(claim("worker-1", held=HOLD_SLACK + 1))
        await world.queue.submit(replace(submission("g-0-2"), affinity=("s:1",)))
        assert names(await world.queue.claim(claim("worker-2", held=1))) == []
        assert names(await world.queue.claim(claim("worker-2", held=0))) == ["g-0-2"]

    async def test_strongest_name_decides_when_two_workers_are_warm(self, world: World) -> None:
        await warm(world, "worker-1", "s:1")
        await warm(world, "worker-2", "m:1")
        await world.queue.submit(replace(submission("g-0-2"), affinity=("m:1", "s:1")))
        assert names(await world.queue.claim(claim("worker-1"))) == []
        assert names(await world.queue.claim(claim("worker-2"))) == ["g-0-2"]

    async def test_others_are_served_when_the_first_is_held(self, world: World) -> None:
        await warm(world)
        await world.queue.submit(replace(submission("g-0-2", tenant="a"), affinity=("s:1",)))
        await world.queue.submit(submission("g-0-3", tenant="b"))
        assert names(await world.queue.claim(claim("worker-2", limit=2))) == ["g-0-3"]
        assert (await world.queue.inspect("g-0-2")).holds == 1

    async def test_warm_request_is_preferred_when_tenants_stand_alike(self, world: World) -> None:
        await warm(world)
        await world.advance(MAX_WAIT_MS + HOLD_MS + 1)
        await world.queue.submit(replace(submission("g-0-2", tenant="a"), affinity=("s:2",)))
        await world.queue.submit(replace(submission("g-0-3", tenant="b"), affinity=("s:1",)))
        await world.advance(HOLD_MS + 1)
        assert names(await world.queue.claim(claim("worker-1"))) == ["g-0-3"]
        assert names(await world.queue.claim(claim("worker-1"))) == ["g-0-2"]

    async def test_requeued_request_is_not_held_when_its_worker_waits(self, world: World) -> None:
        await warm(world)
        await world.queue.submit(replace(submission("g-0-2"), affinity=("s:1",)))
        claimed = await claim_one(world, "worker-1")
        await world.queue.write([append(claimed)])
        await world.queue.claim(claim("worker-1", held=1))
        await world.queue.hand_back([claimed.lease])
        assert names(await world.queue.claim(claim("worker-2"))) == ["g-0-2"]

    async def test_affinity_is_forgotten_when_it_is_old(self, world: World) -> None:
        await warm(world)
        await world.advance(WARM_MS + 1)
        await world.queue.claim(claim("worker-1"))
        await world.queue.submit(replace(submission("g-0-2"), affinity=("s:1",)))
        assert names(await world.queue.claim(claim("worker-2"))) == ["g-0-2"]

    async def test_warm_worker_is_woken_when_another_took_the_hint(self, world: World) -> None:
        await warm(world)
        await drain_hints(world)
        await world.queue.submit(replace(submission("g-0-2"), affinity=("s:1",)))
        await world.queue.wait_for_work("worker-2", 500)
        began = time.monotonic()
        await world.queue.wait_for_work("worker-1", 900)
        assert time.monotonic() - began < 0.5
