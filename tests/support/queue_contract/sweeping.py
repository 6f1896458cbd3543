"""Contract of `Observer.sweep`: lost workers, gaps of the clock, suspects and dead letters."""

from __future__ import annotations

import time

from facet.core.errors import Reason
from facet.queue.values import Claimed, State, Verdict
from facet.queue.views import SweepResult
from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    World,
    append,
    claim,
    claim_one,
    drain_hints,
    finish,
    lapse_leases,
    names,
    submission,
    terminal_of,
)


class ReapContract:
    async def test_request_waits_in_its_place_when_its_worker_died(self, world: World) -> None:
        await world.queue.submit(submission("g-0-first"))
        await claim_one(world)
        await world.advance(1)
        await world.queue.submit(submission("g-0-second"))
        await lapse_leases(world)
        result = await world.queue.claim(claim("worker-2", limit=2))
        assert names(result) == ["g-0-first", "g-0-second"]
        assert [each.attempt for each in result.claimed] == [2, 1]

    async def test_nothing_is_swept_when_another_sweep_was_just_done(self, world: World) -> None:
        await world.queue.submit(submission(deadline_ms=2_000))
        await world.advance(STEP_MS)
        assert (await world.queue.sweep()).expired == 1
        await world.queue.submit(submission("g-0-2", deadline_ms=0))
        assert await world.queue.sweep() == SweepResult(0, 0, 0, 0, has_more=False)

    async def test_nobody_is_reaped_when_sweeps_had_a_gap(self, world: World) -> None:
        await world.queue.submit(submission(reader_grace_ms=10_000))
        claimed = await claim_one(world)
        await world.queue.sweep()
        await world.advance(30_000)
        result = await world.queue.sweep()
        assert (result.reaped, result.abandoned) == (0, 0)
        await world.queue.heartbeat("worker-1", "print-1", [claimed.lease])
        await world.queue.follow("reader-1", {"g-0-1": 0})
        for _ in range(2):
            await world.advance(STEP_MS)
            await world.queue.heartbeat("worker-1", "print-1", [claimed.lease])
            assert (await world.queue.sweep()).reaped == 0
        assert (await world.queue.status("g-0-1", TENANT)).state is State.LEASED

    async def test_dead_worker_is_reaped_when_a_gap_is_one_lease_ago(self, world: World) -> None:
        await world.queue.submit(submission())
        await claim_one(world)
        await world.queue.sweep()
        await world.advance(30_000)
        reaped = []
        for _ in range(3):
            reaped.append((await world.queue.sweep()).reaped)
            await world.advance(STEP_MS)
        assert reaped == [0, 0, 1]

    async def test_dead_worker_is_reaped_when_the_clock_was_set_back(self, world: World) -> None:
        await world.queue.submit(submission())
        await claim_one(world)
        await world.queue.sweep()
        await world.advance(-600_000)
        await lapse_leases(world)
        assert (await world.queue.status("g-0-1", TENANT)).state is State.WAITING

    async def test_dead_worker_is_reaped_when_the_clock_was_set_back_after_a_gap(
        self, world: World
    ) -> None:
        await world.queue.submit(submission(deadline_ms=10**7))
        await claim_one(world)
        await world.queue.sweep()
        await world.advance(30_000)
        assert (await world.queue.sweep()).reaped == 0
        await world.advance(-600_000)
        await lapse_leases(world)
        assert (await world.queue.status("g-0-1", TENANT)).state is State.WAITING

    async def test_outage_is_noticed_when_it_was_shorter_than_a_lease(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.sweep()
        await world.advance(STEP_MS)
        await world.queue.sweep()
        await world.advance(world.limits.lease_ms - 1_000)
        assert (await world.queue.sweep()).reaped == 0
        assert await world.queue.heartbeat("worker-1", "print-1", [claimed.lease]) == [Verdict.OK]


async def die_with(world: World, *, token_ids: list[int], worker: str = "worker-1") -> Claimed:
    """Claim the only request, log these ids, and let the worker die."""
    claimed = await claim_one(world, worker)
    await world.queue.write([append(claimed, token_ids=token_ids)])
    await lapse_leases(world)
    return claimed


async def sit_out_an_outage(world: World) -> None:
    """Let the store be away, and then nobody come back for what was leased."""
    await world.queue.sweep()
    await world.advance(30_000)
    await lapse_leases(world)


class DeathContract:
    async def test_no_death_is_counted_when_the_lease_was_lost_in_an_outage(
        self, world: World
    ) -> None:
        await world.queue.submit(submission(deadline_ms=10**6))
        for _ in range(4):
            assert not (await claim_one(world)).is_alone
            await sit_out_an_outage(world)
            status = await world.queue.status("g-0-1", TENANT)
            assert (status.state, status.deaths) == (State.WAITING, 0)

    async def test_death_is_counted_when_the_worker_died_after_an_outage(
        self, world: World
    ) -> None:
        await world.queue.submit(submission(deadline_ms=10**6))
        claimed = await claim_one(world)
        await world.queue.sweep()
        await world.advance(30_000)
        await world.queue.sweep()
        await world.advance(1_000)
        await world.queue.heartbeat("worker-1", "print-1", [claimed.lease])
        await lapse_leases(world)
        assert (await world.queue.status("g-0-1", TENANT)).deaths == 1

    async def test_deaths_add_up_when_no_token_was_logged(self, world: World) -> None:
        await world.queue.submit(submission())
        for expected in (1, 2):
            await die_with(world, token_ids=[])
            assert (await world.queue.status("g-0-1", TENANT)).deaths == expected

    async def test_deaths_start_over_when_a_token_was_logged(self, world: World) -> None:
        await world.queue.submit(submission())
        await die_with(world, token_ids=[])
        await die_with(world, token_ids=[1])
        assert (await world.queue.status("g-0-1", TENANT)).deaths == 0

    async def test_request_runs_on_when_every_attempt_logs_tokens(self, world: World) -> None:
        await world.queue.submit(submission(deadline_ms=10**6))
        for attempt in range(5):
            claimed = await die_with(world, token_ids=[attempt])
            assert not claimed.is_alone
        assert (await claim_one(world)).token_ids == (0, 1, 2, 3, 4)


async def make_suspects(world: World, *generation_ids: str) -> None:
    """Submit requests and let two workers die with them."""
    for generation_id in generation_ids:
        await world.queue.submit(submission(generation_id, deadline_ms=10**6))
        await world.advance(1)
    for _ in range(2):
        await world.queue.claim(claim(limit=len(generation_ids)))
        await lapse_leases(world)


async def make_suspect(world: World) -> None:
    """The same for the request that most tests use."""
    await make_suspects(world, "g-0-1")


class SuspectContract:
    async def test_suspect_comes_alone_when_a_worker_is_empty(self, world: World) -> None:
        await make_suspect(world)
        await world.queue.submit(submission("g-0-2"))
        (claimed,) = (await world.queue.claim(claim(limit=8))).claimed
        assert (claimed.lease.generation_id, claimed.is_alone) == ("g-0-1", True)

    async def test_worker_gets_nothing_more_when_it_runs_a_suspect(self, world: World) -> None:
        await make_suspect(world)
        suspect = await claim_one(world)
        await world.queue.submit(submission("g-0-2"))
        refused = await world.queue.claim(claim(limit=8, held=1))
        assert (refused.claimed, refused.may_take_hints) == ((), False)
        assert names(await world.queue.claim(claim("worker-2", limit=8))) == ["g-0-2"]
        await world.queue.write([finish(suspect)])
        await world.queue.submit(submission("g-0-3"))
        assert names(await world.queue.claim(claim(limit=8))) == ["g-0-3"]

    async def test_busy_worker_empties_itself_when_a_suspect_waits(self, world: World) -> None:
        await make_suspect(world)
        await world.queue.submit(submission("g-0-2"))
        reserved = await world.queue.claim(claim("worker-1", limit=8, held=2))
        assert reserved.claimed == ()
        assert reserved.next_check_ms < 1_000
        assert not reserved.may_take_hints
        others = await world.queue.claim(claim("worker-2", limit=8, held=1))
        assert names(others) == ["g-0-2"]
        assert others.may_take_hints
        assert (await world.queue.claim(claim("worker-1", limit=8, held=1))).claimed == ()
        assert (await claim_one(world, "worker-1")).is_alone

    async def test_hint_is_passed_on_when_a_reserved_worker_took_it(self, world: World) -> None:
        await make_suspect(world)
        await world.queue.claim(claim("worker-1", limit=8, held=1))
        await drain_hints(world)
        await world.queue.submit(submission("g-0-2"))
        await world.queue.wait_for_work("worker-1", 500)
        assert not (await world.queue.claim(claim("worker-1", limit=8, held=1))).may_take_hints
        began = time.monotonic()
        await world.queue.wait_for_work("worker-1", 900)
        assert time.monotonic() - began < 0.5
        assert names(await world.queue.claim(claim("worker-2", limit=8, held=1))) == ["g-0-2"]

    async def test_no_hint_is_made_when_only_the_suspect_waits(self, world: World) -> None:
        await make_suspect(world)
        await drain_hints(world)
        assert not (await world.queue.claim(claim("worker-1", limit=8, held=1))).may_take_hints
        began = time.monotonic()
        await world.queue.wait_for_work("worker-1", 60)
        assert time.monotonic() - began >= 0.05

    async def test_another_worker_is_reserved_when_the_first_is_gone(self, world: World) -> None:
        await make_suspect(world)
        await world.queue.submit(submission("g-0-2", deadline_ms=10**6))
        await world.queue.claim(claim("worker-1", limit=8, held=1))
        await world.advance(world.limits.lease_ms + 1_000)
        assert (await world.queue.claim(claim("worker-2", limit=8, held=1))).claimed == ()
        assert names(await world.queue.claim(claim("worker-1", limit=8, held=1))) == ["g-0-2"]

    async def test_next_suspect_reserves_a_worker_when_the_first_has_ended(
        self, world: World
    ) -> None:
        await make_suspects(world, "g-0-1", "g-0-2")
        await world.queue.claim(claim("worker-1", limit=8, held=1))
        await world.queue.write([finish(await claim_one(world, "worker-2"))])
        await world.queue.submit(submission("g-0-3"))
        assert (await world.queue.claim(claim("worker-3", limit=8, held=1))).claimed == ()

    async def test_next_suspect_comes_first_when_the_lone_worker_died(self, world: World) -> None:
        await make_suspects(world, "g-0-1", "g-0-2")
        assert (await claim_one(world, "worker-1")).is_alone
        await lapse_leases(world)
        await world.queue.submit(submission("g-0-3"))
        assert (await claim_one(world, "worker-2")).is_alone

    async def test_suspect_is_dead_lettered_when_its_lone_worker_dies(self, world: World) -> None:
        await make_suspect(world)
        assert (await claim_one(world)).is_alone
        await world.queue.sweep()
        await world.advance(STEP_MS)
        await world.queue.sweep()
        await world.advance(STEP_MS)
        result = await world.queue.sweep()
        assert (result.reaped, result.dead_lettered) == (1, 1)
        event = await terminal_of(world)
        assert event.finished.failure.reason == Reason.ERROR_REASON_DEAD_LETTERED
        assert (await world.queue.claim(claim("worker-2"))).claimed == ()

    async def test_suspect_stays_one_when_its_lease_was_lost_in_an_outage(
        self, world: World
    ) -> None:
        await make_suspect(world)
        assert (await claim_one(world)).is_alone
        await sit_out_an_outage(world)
        assert (await claim_one(world, "worker-2")).is_alone

    async def test_suspect_is_ordinary_again_when_it_logged_tokens(self, world: World) -> None:
        await make_suspect(world)
        suspect = await die_with(world, token_ids=[5])
        assert suspect.is_alone
        resumed = await claim_one(world, "worker-2")
        assert (resumed.is_alone, resumed.token_ids) == (False, (5,))

    async def test_suspect_stays_one_when_handed_back(self, world: World) -> None:
        await make_suspect(world)
        await world.queue.hand_back([(await claim_one(world)).lease])
        assert (await claim_one(world, "worker-2")).is_alone

    async def test_suspects_leave_workers_to_others_when_one_runs(self, world: World) -> None:
        await make_suspects(world, "g-0-1", "g-0-2")
        assert (await claim_one(world, "worker-1")).is_alone
        await world.queue.submit(submission("g-0-3"))
        assert names(await world.queue.claim(claim("worker-2"))) == ["g-0-3"]
        assert (await claim_one(world, "worker-3")).is_alone

    async def test_only_the_poison_is_dead_when_it_kills_every_batch(self, world: World) -> None:
        innocents = {f"g-0-{i}" for i in range(15)}
        for name in [*sorted(innocents), "g-0-poison"]:
            await world.queue.submit(submission(name, deadline_ms=10**6, retention_ms=10**6))
        for round_ in range(60):
            result = await world.queue.claim(claim(f"worker-{round_}", limit=16))
            if not result.claimed:
                break
            if "g-0-poison" in names(result):
                await lapse_leases(world)
            else:
                await world.queue.write([finish(each) for each in result.claimed])
        assert (await world.queue.depth()).waiting == 0
        reasons = {
            name: (await terminal_of(world, name)).finished.failure.reason
            for name in [*innocents, "g-0-poison"]
        }
        assert reasons.pop("g-0-poison") == Reason.ERROR_REASON_DEAD_LETTERED
        assert set(reasons.values()) == {Reason.ERROR_REASON_UNSPECIFIED}
