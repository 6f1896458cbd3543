"""Contract of the order in which `Consumer.claim` gives: classes, shares of tenants, FIFO."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from facet.queue.limits import AGE_BATCH_MS, AGE_STANDARD_MS, AGED_TURN, FIRST_OUTPUT_TOKENS
from facet.queue.values import Needs, Priority, Room
from tests.support.queue_contract.world import (
    World,
    append,
    claim,
    claim_one,
    finish,
    lapse_leases,
    names,
    submission,
)


class OrderContract:
    async def test_oldest_come_first_when_of_one_class(self, world: World) -> None:
        for name in ("g-0-b", "g-0-c", "g-0-a"):
            await world.queue.submit(submission(name))
            await world.advance(1)
        assert names(await world.queue.claim(claim(limit=2))) == ["g-0-b", "g-0-c"]
        assert names(await world.queue.claim(claim(limit=2))) == ["g-0-a"]

    async def test_better_class_comes_first_when_of_one_age(self, world: World) -> None:
        for priority in reversed(Priority):
            await world.queue.submit(submission(f"g-0-{priority.name}", priority=priority))
        result = await world.queue.claim(claim(limit=3))
        assert names(result) == ["g-0-INTERACTIVE", "g-0-STANDARD", "g-0-BATCH"]

    async def test_lower_class_gets_every_fourth_turn_when_it_waited_long(
        self, world: World
    ) -> None:
        for i in range(2):
            batch = submission(f"g-0-old{i}", priority=Priority.BATCH, deadline_ms=10**6)
            await world.queue.submit(batch)
        await world.advance(AGE_BATCH_MS + 1)
        for i in range(6):
            await world.queue.submit(submission(f"g-0-{i}", priority=Priority.INTERACTIVE))
        claimed = names(await world.queue.claim(claim(limit=8)))
        assert claimed[AGED_TURN] == "g-0-old0"
        assert claimed[2 * AGED_TURN + 1] == "g-0-old1"

    async def test_tenants_take_turns_when_one_has_much_more(self, world: World) -> None:
        for i in range(6):
            await world.queue.submit(submission(f"g-0-a{i}", tenant="a"))
        for i in range(2):
            await world.queue.submit(submission(f"g-0-b{i}", tenant="b"))
        order = [name[4] for name in names(await world.queue.claim(claim(limit=8)))]
        assert order == ["a", "b", "a", "b", "a", "a", "a", "a"]

    async def test_tenant_gets_its_share_when_it_weighs_more(self, world: World) -> None:
        for i in range(9):
            await world.queue.submit(replace(submission(f"g-0-a{i}", tenant="a"), weight=2.0))
            await world.queue.submit(submission(f"g-0-b{i}", tenant="b"))
        served = [name[4] for name in names(await world.queue.claim(claim(limit=9)))]
        assert served.count("a") == 2 * served.count("b")

    async def test_charge_is_corrected_when_a_request_took_more(self, world: World) -> None:
        for tenant in ("a", "b"):
            for i in range(4):
                await world.queue.submit(submission(f"g-0-{tenant}{i}", tenant=tenant))
        first = await claim_one(world)
        await world.queue.write([replace(finish(first), prompt_tokens=700, output_tokens=100)])
        order = [name[4] for name in names(await world.queue.claim(claim(limit=4)))]
        assert order == ["b", "b", "b", "b"]

    async def test_requeue_is_not_charged_again_when_claimed_again(self, world: World) -> None:
        for tenant in ("a", "b"):
            for i in range(2):
                await world.queue.submit(submission(f"g-0-{tenant}{i}", tenant=tenant))
        await world.queue.hand_back([(await claim_one(world)).lease])
        assert names(await world.queue.claim(claim(limit=4))) == [
            *("g-0-b0", "g-0-a0", "g-0-a1", "g-0-b1"),
        ]

    @pytest.mark.parametrize(
        ("priority", "age_ms"),
        [(Priority.STANDARD, AGE_STANDARD_MS), (Priority.BATCH, AGE_BATCH_MS)],
    )
    async def test_lower_class_waits_when_it_is_not_yet_old(
        self, world: World, priority: Priority, age_ms: int
    ) -> None:
        await world.queue.submit(submission("g-0-low", priority=priority, deadline_ms=10**6))
        await world.advance(age_ms - 10)
        for i in range(8):
            await world.queue.submit(submission(f"g-0-{i}", priority=Priority.INTERACTIVE))
        assert "g-0-low" not in names(await world.queue.claim(claim(limit=8)))

    async def test_turns_are_counted_across_claims_when_a_class_is_old(self, world: World) -> None:
        await world.queue.submit(submission("g-0-old", deadline_ms=10**6))
        await world.advance(AGE_STANDARD_MS + 1)
        for i in range(8):
            await world.queue.submit(submission(f"g-0-{i}", priority=Priority.INTERACTIVE))
        served = [names(await world.queue.claim(claim(f"worker-{i}"))) for i in range(5)]
        assert served[AGED_TURN] == ["g-0-old"]

    async def test_only_the_difference_is_charged_when_a_request_took_less(
        self, world: World
    ) -> None:
        for tenant in ("a", "b"):
            for i in range(4):
                request = submission(f"g-0-{tenant}{i}", tenant=tenant)
                await world.queue.submit(replace(request, prompt_tokens=744))
        for claimed in (await world.queue.claim(claim(limit=4))).claimed:
            assert claimed.charged_tokens == 744 + FIRST_OUTPUT_TOKENS
            if claimed.lease.generation_id[4] == "a":
                last = replace(finish(claimed), prompt_tokens=1, output_tokens=0)
                await world.queue.write([last])
        order = [name[4] for name in names(await world.queue.claim(claim(limit=4)))]
        assert order == ["a", "a", "b", "b"]

    async def test_order_in_a_tenant_is_kept_when_others_interleave(self, world: World) -> None:
        names_of = {tenant: [f"g-0-{tenant}{i}" for i in range(5)] for tenant in "abc"}
        for name in itertools.chain.from_iterable(zip(*names_of.values(), strict=True)):
            await world.queue.submit(submission(name, tenant=name[4]))
        claimed = names(await world.queue.claim(claim(limit=15)))
        for tenant, expected in names_of.items():
            assert [name for name in claimed if name[4] == tenant] == expected

    async def test_oldest_of_a_tenant_comes_first_when_its_requests_need_different_workers(
        self, world: World
    ) -> None:
        order = ["g-0-c", "g-0-a", "g-0-b"]
        for name, media in zip(order, ("", "i", ""), strict=True):
            await world.queue.submit(replace(submission(name), needs=Needs(media=media)))
        first, *others = [names(await world.queue.claim(claim())) for _ in range(3)]
        assert [first, *others] == [[name] for name in order]

    async def test_returning_tenant_starts_with_the_others_when_it_was_away(
        self, world: World
    ) -> None:
        for i in range(20):
            await world.queue.submit(submission(f"g-0-a{i:02}", tenant="a"))
        await world.queue.claim(claim(limit=12))
        for i in range(8):
            await world.queue.submit(submission(f"g-0-b{i}", tenant="b"))
        order = [name[4] for name in names(await world.queue.claim(claim(limit=8)))]
        assert order.count("a") == order.count("b")

    async def test_tenant_does_not_gain_when_it_leaves_and_comes_back(self, world: World) -> None:
        for i in range(10):
            await world.queue.submit(submission(f"g-0-a{i}", tenant="a"))
        await world.queue.submit(replace(submission("g-0-b0", tenant="b"), prompt_tokens=2_000))
        await world.queue.claim(claim(limit=2))
        await world.queue.submit(submission("g-0-b1", tenant="b"))
        order = [name[4] for name in names(await world.queue.claim(claim(limit=9)))]
        assert order[:7] == ["a"] * 7
        assert "b" in order

    @pytest.mark.parametrize("seed", range(4))
    async def test_no_tenant_is_ahead_by_more_than_the_bound_when_all_have_work(
        self, world: World, seed: int
    ) -> None:
        chance = random.Random(seed)
        weights = {"a": 1.0, "b": 2.0, "c": 0.5}
        largest = dict.fromkeys(weights, 0)
        for i in range(40):
            for tenant, weight in weights.items():
                request = submission(f"g-0-{tenant}{i:02}", tenant=tenant)
                cost = chance.choice([1, 100, 3_000])
                needs = Needs(media=chance.choice(["", "i"]))
                await world.queue.submit(
                    replace(request, weight=weight, prompt_tokens=cost, needs=needs)
                )
        served = dict.fromkeys(weights, 0)
        for _ in range(40):
            claimed = await claim_one(world)
            tenant = claimed.lease.generation_id[4]
            served[tenant] += claimed.charged_tokens
            largest[tenant] = 3_000 + FIRST_OUTPUT_TOKENS
            for one, other in itertools.combinations(weights, 2):
                ahead = served[one] / weights[one] - served[other] / weights[other]
                both = largest[one] / weights[one] + largest[other] / weights[other]
                assert abs(ahead) <= both

    async def test_tenant_is_not_overtaken_when_another_before_it_can_never_be_served(
        self, world: World
    ) -> None:
        """The worker sees lanes; behind the first of one there may be somebody to serve."""
        large = replace(submission("g-0-large", tenant="a"), prompt_tokens=9_000)
        await world.queue.submit(large)
        await world.queue.submit(submission("g-0-small", tenant="b"))
        for i in range(6):
            request = replace(submission(f"g-0-c{i}", tenant="c"), needs=Needs(media="i"))
            await world.queue.submit(request)
        room = Room(tokens=8_000, free_tokens=8_000)
        served = names(await world.queue.claim(replace(claim(limit=2), room=room)))
        assert "g-0-small" in served

    async def test_charge_is_made_once_when_workers_die_with_a_request(self, world: World) -> None:
        for tenant in ("a", "b"):
            for i in range(2):
                request = submission(f"g-0-{tenant}{i}", tenant=tenant, deadline_ms=10**6)
                await world.queue.submit(request)
        first = await claim_one(world)
        await world.queue.write([append(first, token_ids=[1])])
        await lapse_leases(world)
        assert names(await world.queue.claim(claim(limit=4))) == [
            *("g-0-b0", "g-0-a0", "g-0-a1", "g-0-b1"),
        ]
