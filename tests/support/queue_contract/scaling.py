"""Contract of what the autoscaler reads: counters, leased work, arrivals on an idle queue."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from facet.queue.values import Priority
from tests.support.queue_contract.world import World, append, claim, submission


class ScalingContract:
    async def test_accepted_work_is_counted_by_class_when_requests_come(self, world: World) -> None:
        for i, priority in enumerate((Priority.BATCH, Priority.BATCH, Priority.INTERACTIVE)):
            request = submission(f"g-0-{i}", priority=priority)
            await world.queue.submit(replace(request, prompt_tokens=100, max_output_tokens=20))
        await world.queue.submit(submission("g-0-0", priority=Priority.BATCH))
        await world.queue.claim(claim(limit=3))
        classes = (await world.queue.depth()).classes
        counted = {name: (d.accepted_requests, d.accepted_tokens) for name, d in classes.items()}
        assert counted == {
            Priority.INTERACTIVE: (1, 120),
            Priority.STANDARD: (0, 0),
            Priority.BATCH: (2, 240),
        }

    async def test_leased_work_is_told_by_tenant_when_some_of_it_is_done(
        self, world: World
    ) -> None:
        assert (await world.queue.leased_work()).requests == 0
        for i, tenant in enumerate(("a", "a", "b")):
            request = submission(f"g-0-{i}", tenant=tenant)
            await world.queue.submit(replace(request, prompt_tokens=50, max_output_tokens=30))
        claimed = (await world.queue.claim(claim(limit=3))).claimed
        await world.queue.write([append(claimed[0], token_ids=range(10))])
        work = await world.queue.leased_work()
        assert (work.requests, work.remaining_tokens) == (3, 80)
        assert work.by_tenant == {"a": 2, "b": 1}

    async def test_arrival_is_told_when_a_request_comes_to_an_empty_queue(
        self, world: World
    ) -> None:
        cursor = await world.queue.wait_for_arrival("", 1000)
        waiting = asyncio.create_task(world.queue.wait_for_arrival(cursor, 1000))
        await world.queue.submit(submission("g-0-1"))
        async with asyncio.timeout(0.5):
            later = await waiting
        assert later != cursor
        await world.queue.submit(submission("g-0-2"))
        assert await world.queue.wait_for_arrival(later, 20) == later
        # One that came while nobody waited is told at once.
        assert await world.queue.wait_for_arrival(cursor, 1000) == later

    async def test_arrival_is_not_told_when_work_still_runs(self, world: World) -> None:
        await world.queue.submit(submission("g-0-1"))
        await world.queue.claim(claim())
        cursor = await world.queue.wait_for_arrival("", 1000)
        await world.queue.submit(submission("g-0-2"))
        assert await world.queue.wait_for_arrival(cursor, 20) == cursor
