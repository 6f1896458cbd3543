"""Contract of `Consumer.wait_for_work`."""

from __future__ import annotations

import asyncio
import time

from facet.queue.limits import MAX_WAIT_MS
from tests.support.queue_contract.world import World, claim, claim_one, finish, submission


class HintContract:
    async def test_wait_ends_at_once_when_work_arrives(self, world: World) -> None:
        waiting = asyncio.create_task(world.queue.wait_for_work("worker-1", MAX_WAIT_MS))
        await world.queue.submit(submission())
        began = time.monotonic()
        await waiting
        assert time.monotonic() - began < 0.5

    async def test_wait_ends_when_the_time_is_over(self, world: World) -> None:
        began = time.monotonic()
        await world.queue.wait_for_work("worker-1", 60)
        assert 0.05 <= time.monotonic() - began < 0.9

    async def test_wait_is_bounded_when_a_longer_one_is_asked_for(self, world: World) -> None:
        began = time.monotonic()
        await world.queue.wait_for_work("worker-1", 60_000)
        assert time.monotonic() - began < MAX_WAIT_MS / 1000 + 0.5

    async def test_next_worker_is_woken_when_a_claim_leaves_work(self, world: World) -> None:
        for i in range(2):
            await world.queue.submit(submission(f"g-0-{i}"))
        for _ in range(2):
            await world.queue.wait_for_work("worker-1", 500)
        await world.queue.claim(claim(limit=1))
        began = time.monotonic()
        await world.queue.wait_for_work("worker-1", 900)
        assert time.monotonic() - began < 0.5

    async def test_work_is_found_when_its_hint_went_with_a_dead_worker(self, world: World) -> None:
        await world.queue.submit(submission())
        await world.queue.wait_for_work("worker-1", 500)
        began = time.monotonic()
        await world.queue.wait_for_work("worker-1", MAX_WAIT_MS)
        await claim_one(world, "worker-2")
        assert time.monotonic() - began < 1.5

    async def test_no_hint_is_left_when_a_claim_emptied_the_queue(self, world: World) -> None:
        for i in range(3):
            await world.queue.submit(submission(f"g-0-{i}"))
        await world.queue.claim(claim(limit=3))
        began = time.monotonic()
        await world.queue.wait_for_work("worker-1", 60)
        assert time.monotonic() - began >= 0.05

    async def test_nobody_is_woken_when_a_hint_is_passed_on_and_nothing_waits(
        self, world: World
    ) -> None:
        await world.queue.pass_on_hint()
        assert not await world.queue.wait_for_work("worker-1", 60)

    async def test_worker_is_woken_when_a_request_is_handed_back(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        waiting = asyncio.create_task(world.queue.wait_for_work("worker-1", MAX_WAIT_MS))
        await world.queue.hand_back([claimed.lease])
        began = time.monotonic()
        await waiting
        assert time.monotonic() - began < 0.5

    async def test_finished_request_leaves_nothing_to_claim_when_repeated(
        self, world: World
    ) -> None:
        await world.queue.submit(submission())
        once = claim(nonce="once")
        (claimed,) = (await world.queue.claim(once)).claimed
        await world.queue.write([finish(claimed)])
        assert (await world.queue.claim(once)).claimed == ()
