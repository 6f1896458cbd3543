"""Contract of `Consumer.claim`, `wait_for_work` and `hand_back`."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from facet.queue.limits import (
    AGE_BATCH_MS,
    AGED_TURN,
    HOLD_MS,
    MAX_CLAIM,
    MAX_WAIT_MS,
    ORPHAN_MS,
)
from facet.queue.port import Needs, Offers, Priority, Room, State, Verdict
from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    World,
    append,
    claim,
    claim_one,
    finish,
    lapse_leases,
    names,
    submission,
)


class ClaimContract:
    async def test_claim_brings_what_was_submitted_when_it_waits(self, world: World) -> None:
        await world.queue.submit(submission(deadline_ms=60_000))
        await world.advance(STEP_MS)
        claimed = await claim_one(world)
        assert claimed.envelope == submission().envelope
        assert (claimed.attempt, claimed.next_offset, claimed.token_ids) == (1, 0, ())
        assert not claimed.is_alone
        assert STEP_MS <= claimed.waited_ms < STEP_MS + 1_000
        assert 56_000 < claimed.remaining_ms <= 60_000 - STEP_MS
        assert (await world.queue.status("g-0-1", TENANT)).state is State.LEASED

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

    async def test_only_able_workers_get_a_request_when_it_has_needs(self, world: World) -> None:
        needs = Needs(context_tokens=8192, media="iv", adapter="legal")
        await world.queue.submit(replace(submission(), needs=needs))
        for offers in (
            Offers(context_tokens=4096, adapters=("legal",)),
            Offers(media="i", adapters=("legal",)),
            Offers(),
            Offers(envelope_versions=(2,), adapters=("legal",)),
        ):
            assert names(await world.queue.claim(replace(claim(), offers=offers))) == []
        able = Offers(adapters=("medical", "legal"))
        assert names(await world.queue.claim(replace(claim(), offers=able))) == ["g-0-1"]

    async def test_larger_worker_gets_a_request_when_it_was_refiled(self, world: World) -> None:
        await world.queue.submit(submission())
        lease = (await claim_one(world)).lease
        await world.queue.hand_back([lease], context_tokens=32_768)
        small = replace(claim(), offers=Offers(context_tokens=8192))
        assert names(await world.queue.claim(small)) == []
        assert names(await world.queue.claim(claim())) == ["g-0-1"]

    async def test_worker_empties_itself_when_a_request_finds_no_room(self, world: World) -> None:
        await world.queue.submit(replace(submission("g-0-big", tenant="a"), prompt_tokens=5_000))
        for i in range(40):
            await world.queue.submit(submission(f"g-0-{i}", tenant="b"))
        room = Room(tokens=8_000, free_tokens=4_000)
        counts = []
        for _ in range(3):
            result = await world.queue.claim(replace(claim(limit=30, held=4), room=room))
            counts.append(len(result.claimed))
        # Others overtake it by no more than its own charge.
        assert 0 < sum(counts) <= 22
        assert (counts[2], result.may_take_hints) == (0, False)
        other = await world.queue.claim(replace(claim("worker-2", limit=2, held=4), room=room))
        assert len(other.claimed) == 2
        empty = replace(room, free_tokens=8_000)
        result = await world.queue.claim(replace(claim(limit=1), room=empty))
        assert names(result) == ["g-0-big"]

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

    async def test_another_engine_continues_when_the_first_kind_is_gone(self, world: World) -> None:
        await world.queue.submit(submission(deadline_ms=10**6))
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, token_ids=[7])])
        await world.queue.hand_back([claimed.lease])
        assert names(await world.queue.claim(claim("worker-2", fingerprint="print-2"))) == []
        await world.advance(ORPHAN_MS + 1)
        (other,) = (await world.queue.claim(claim("worker-2", fingerprint="print-2"))).claimed
        assert (other.fingerprint, other.token_ids) == ("print-1", (7,))
        restart = replace(append(other, token_ids=[8]), voids_ids=True)
        await world.queue.write([restart])
        await world.queue.hand_back([other.lease])
        again = await claim_one(world, "worker-2", "print-2")
        assert (again.fingerprint, again.token_ids) == ("print-2", (8,))

    async def test_nothing_is_claimed_when_nothing_waits(self, world: World) -> None:
        result = await world.queue.claim(claim(limit=8))
        assert result.claimed == ()
        assert 0 < result.next_check_ms <= MAX_WAIT_MS

    async def test_claim_is_bounded_when_more_is_asked_for(self, world: World) -> None:
        for i in range(MAX_CLAIM + 2):
            await world.queue.submit(submission(f"g-0-{i}"))
        assert len((await world.queue.claim(claim(limit=1_000))).claimed) == MAX_CLAIM
        assert (await world.queue.depth()).waiting == 2

    async def test_live_ones_are_found_when_many_overdue_wait_before_them(
        self, world: World
    ) -> None:
        for i in range(MAX_CLAIM - 1):
            await world.queue.submit(submission(f"g-0-{i}", deadline_ms=1_000))
        await world.advance(STEP_MS)
        await world.queue.submit(submission("g-0-fine"))
        assert names(await world.queue.claim(claim(limit=4))) == ["g-0-fine"]

    async def test_same_leases_return_when_a_nonce_repeats(self, world: World) -> None:
        for i in range(3):
            await world.queue.submit(submission(f"g-0-{i}"))
        first = await world.queue.claim(claim(limit=2, nonce="once"))
        again = await world.queue.claim(claim(limit=2, nonce="once"))
        assert [each.lease for each in again.claimed] == [each.lease for each in first.claimed]
        assert (await world.queue.depth()).waiting == 1

    async def test_ended_requests_are_left_out_when_a_nonce_repeats(self, world: World) -> None:
        for i in range(2):
            await world.queue.submit(submission(f"g-0-{i}"))
            await world.advance(1)
        await world.queue.claim(claim(limit=2, nonce="once"))
        await world.queue.cancel("g-0-0", TENANT)
        assert names(await world.queue.claim(claim(limit=2, nonce="once"))) == ["g-0-1"]

    async def test_lease_is_renewed_when_a_nonce_repeats(self, world: World) -> None:
        await world.queue.submit(submission())
        once = claim(nonce="once")
        await world.queue.claim(once)
        await world.queue.sweep()
        await world.advance(STEP_MS)
        await world.queue.claim(once)
        await world.queue.sweep()
        await world.advance(STEP_MS)
        assert (await world.queue.sweep()).reaped == 0

    async def test_requests_of_others_are_left_out_when_a_nonce_repeats(self, world: World) -> None:
        await world.queue.submit(submission())
        once = claim(nonce="once")
        (claimed,) = (await world.queue.claim(once)).claimed
        await world.queue.hand_back([claimed.lease])
        await claim_one(world, "worker-2")
        assert (await world.queue.claim(once)).claimed == ()

    async def test_other_engines_get_nothing_when_tokens_are_logged(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, token_ids=[7, 8, 300_000], count=2)])
        await lapse_leases(world)
        assert (await world.queue.claim(claim("worker-2", fingerprint="print-2"))).claimed == ()
        assert (await world.queue.depth()).waiting == 1
        resumed = await claim_one(world, "worker-2")
        assert resumed.token_ids == (7, 8, 300_000)
        assert (resumed.next_offset, resumed.attempt) == (2, 2)

    async def test_other_engines_may_have_it_when_no_token_is_logged(self, world: World) -> None:
        await world.queue.submit(submission())
        await world.queue.write([append(await claim_one(world))])
        await lapse_leases(world)
        assert (await claim_one(world, "worker-2", "print-2")).next_offset == 1

    async def test_others_are_served_when_pinned_ones_wait_before_them(self, world: World) -> None:
        await world.queue.submit(submission("g-0-pinned"))
        await world.queue.write([append(await claim_one(world), token_ids=[1])])
        await world.queue.submit(submission("g-0-free"))
        await lapse_leases(world)
        both = claim("worker-2", limit=2, fingerprint="print-2")
        assert names(await world.queue.claim(both)) == ["g-0-free"]

    @pytest.mark.parametrize("first", ["pinned", "free"])
    async def test_oldest_come_first_when_some_are_pinned(self, world: World, first: str) -> None:
        order = ["pinned", "free"] if first == "pinned" else ["free", "pinned"]
        for name in order:
            await world.queue.submit(submission(f"g-0-{name}"))
            await world.advance(1)
        for claimed in (await world.queue.claim(claim(limit=2))).claimed:
            is_pinned = claimed.lease.generation_id == "g-0-pinned"
            await world.queue.write([append(claimed, token_ids=[1] if is_pinned else [])])
        await lapse_leases(world)
        both = await world.queue.claim(claim("worker-2", limit=2))
        assert names(both) == [f"g-0-{name}" for name in order]

    async def test_request_is_ended_when_its_deadline_passed_before_the_claim(
        self, world: World
    ) -> None:
        await world.queue.submit(submission("g-0-late", deadline_ms=2_000))
        await world.queue.submit(submission("g-0-fine"))
        await world.advance(STEP_MS)
        assert names(await world.queue.claim(claim(limit=2))) == ["g-0-fine"]
        assert (await world.queue.status("g-0-late", TENANT)).state is State.ENDED


class HandBackContract:
    async def test_request_keeps_its_place_when_handed_back(self, world: World) -> None:
        await world.queue.submit(submission("g-0-first"))
        await world.advance(1)
        claimed = await claim_one(world)
        await world.queue.submit(submission("g-0-second"))
        await world.queue.hand_back([claimed.lease])
        assert names(await world.queue.claim(claim(limit=2))) == ["g-0-first", "g-0-second"]

    async def test_attempt_is_not_counted_when_handed_back_unstarted(self, world: World) -> None:
        await world.queue.submit(submission())
        await world.queue.hand_back([(await claim_one(world)).lease])
        status = await world.queue.status("g-0-1", TENANT)
        assert (status.state, status.attempts, status.deaths) == (State.WAITING, 0, 0)
        assert (await claim_one(world)).attempt == 1

    async def test_lease_is_lost_when_handed_back(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.hand_back([claimed.lease])
        assert (await world.queue.write([append(claimed)]))[0].verdict is Verdict.LEASE_LOST
        assert await world.queue.heartbeat("worker-1", "print-1", [claimed.lease]) == [
            Verdict.LEASE_LOST
        ]

    async def test_nothing_happens_when_a_stale_lease_is_handed_back(self, world: World) -> None:
        await world.queue.submit(submission())
        stale = await claim_one(world)
        await world.queue.hand_back([stale.lease])
        current = await claim_one(world, "worker-2")
        await world.queue.hand_back([stale.lease])
        assert (await world.queue.write([append(current)]))[0].verdict is Verdict.OK

    async def test_no_death_is_counted_when_handed_back_again_and_again(self, world: World) -> None:
        await world.queue.submit(submission())
        for _ in range(5):
            claimed = await claim_one(world)
            assert not claimed.is_alone
            await world.queue.write([append(claimed)])
            await world.queue.hand_back([claimed.lease])
        assert (await world.queue.status("g-0-1", TENANT)).deaths == 0

    @pytest.mark.parametrize(("token_ids", "deaths"), [([], 1), ([7], 0)])
    async def test_deaths_start_over_when_what_is_handed_back_brought_tokens(
        self, world: World, token_ids: list[int], deaths: int
    ) -> None:
        await world.queue.submit(submission())
        await claim_one(world)
        await lapse_leases(world)
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, token_ids=token_ids)])
        await world.queue.hand_back([claimed.lease])
        assert (await world.queue.status("g-0-1", TENANT)).deaths == deaths


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
