"""Contract of `Consumer.claim`, `wait_for_work` and `hand_back`."""

from __future__ import annotations

import pytest

from facet.queue.limits import (
    MAX_CLAIM,
    MAX_WAIT_MS,
)
from facet.queue.values import State, Verdict
from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    World,
    append,
    claim,
    claim_one,
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
