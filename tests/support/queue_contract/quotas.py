"""Contract of a tenant's quota: what `Producer.submit` refuses, and when the charge ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from facet.core.errors import QuotaExceededError
from facet.queue.limits import FIRST_OUTPUT_TOKENS, FULL_RETRY_MS, MINUTE_MS
from facet.queue.values import Claimed, Quota, Submission
from tests.support.queue_contract.operating import buried
from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    World,
    append,
    claim_one,
    finish,
    lapse_leases,
    submission,
)

SIZE = 1_000
TWO_AT_ONCE = Quota(max_concurrent=2)


def limited(
    generation_id: str,
    quota: Quota,
    *,
    tenant: str = TENANT,
    size: int = SIZE,
    request_id: str = "",
    deadline_ms: int = 600_000,
) -> Submission:
    """A request of so many tokens of a tenant with a quota."""
    request = submission(
        generation_id, tenant=tenant, request_id=request_id, deadline_ms=deadline_ms
    )
    return replace(request, quota=quota, prompt_tokens=size - FIRST_OUTPUT_TOKENS)


async def refused(world: World, request: Submission) -> QuotaExceededError:
    """The refusal of a request."""
    with pytest.raises(QuotaExceededError) as refusal:
        await world.queue.submit(request)
    return refusal.value


async def accepted_after(world: World, request: Submission, seconds: float | None) -> None:
    """A request is refused just before so long a wait, and accepted at its end."""
    assert seconds is not None
    wait_ms = round(seconds * 1000)
    await world.advance(wait_ms - 50)
    await refused(world, request)
    await world.advance(50)
    await world.queue.submit(request)


async def _finish(world: World, claimed: Claimed) -> None:
    await world.queue.write([finish(claimed)])


async def _cancel(world: World, claimed: Claimed) -> None:
    await world.queue.cancel(claimed.lease.generation_id, TENANT)


async def _expire(world: World, claimed: Claimed) -> None:
    await world.queue.sweep()
    await world.advance(STEP_MS)
    await world.queue.heartbeat("worker-1", "print-1", [claimed.lease])
    await world.advance(STEP_MS)
    assert (await world.queue.sweep()).expired == 1


async def _bury(world: World, claimed: Claimed) -> None:
    await world.queue.write([finish(claimed, failure=b"why", is_dead_letter=True)])


class QuotaContract:
    async def test_requests_are_refused_until_the_bucket_has_one_when_it_is_empty(
        self, world: World
    ) -> None:
        quota = Quota(requests_per_minute=3)
        for i in range(3):
            await world.queue.submit(limited(f"g-0-{i}", quota))
        refusal = await refused(world, limited("g-0-more", quota))
        assert refusal.metadata == {"bound": "requests_per_minute", "limit": "3"}
        assert refusal.retry_after_seconds == pytest.approx(20, abs=0.5)
        await world.queue.submit(limited("g-0-other", quota, tenant="tenant-b"))
        await accepted_after(world, limited("g-0-more", quota), refusal.retry_after_seconds)
        await refused(world, limited("g-0-again", quota))

    async def test_tokens_are_refused_until_the_bucket_has_them_when_it_is_empty(
        self, world: World
    ) -> None:
        quota = Quota(tokens_per_minute=3 * SIZE)
        for i in range(2):
            await world.queue.submit(limited(f"g-0-{i}", quota))
        request = limited("g-0-more", quota, size=2 * SIZE)
        refusal = await refused(world, request)
        assert refusal.metadata == {"bound": "tokens_per_minute", "limit": "3000"}
        assert refusal.retry_after_seconds == pytest.approx(20, abs=0.5)
        await accepted_after(world, request, refusal.retry_after_seconds)

    async def test_request_beyond_a_whole_bucket_leaves_a_debt_when_the_bucket_is_full(
        self, world: World
    ) -> None:
        quota = Quota(tokens_per_minute=SIZE)
        await world.queue.submit(limited("g-0-1", quota, size=3 * SIZE))
        refusal = await refused(world, limited("g-0-2", quota, size=3 * SIZE))
        assert refusal.retry_after_seconds == pytest.approx(180, abs=0.5)
        refusal = await refused(world, limited("g-0-2", quota, size=SIZE // 2))
        assert refusal.retry_after_seconds == pytest.approx(150, abs=0.5)

    @pytest.mark.parametrize(("took", "wait_seconds"), [(SIZE // 2, 0), (2 * SIZE, 60)])
    async def test_estimate_is_replaced_by_what_it_took_when_a_request_ends(
        self, world: World, took: int, wait_seconds: int
    ) -> None:
        quota = Quota(tokens_per_minute=3 * SIZE // 2)
        await world.queue.submit(limited("g-0-1", quota))
        last = finish(await claim_one(world))
        await world.queue.write([replace(last, prompt_tokens=took - 1, output_tokens=1)])
        request = limited("g-0-2", quota)
        if not wait_seconds:
            # The mean answer has changed with it by less than a token.
            await world.queue.submit(replace(request, prompt_tokens=request.prompt_tokens + 2))
            return
        refusal = await refused(world, request)
        assert refusal.retry_after_seconds == pytest.approx(wait_seconds, abs=1)

    async def test_nothing_is_charged_when_a_request_never_ran(self, world: World) -> None:
        quota = Quota(tokens_per_minute=SIZE)
        await world.queue.submit(limited("g-0-1", quota))
        await refused(world, limited("g-0-2", quota))
        await world.queue.cancel("g-0-1", TENANT)
        await world.queue.submit(limited("g-0-2", quota))

    async def test_candidates_are_charged_each_when_there_are_several(self, world: World) -> None:
        quota = Quota(tokens_per_minute=10 * FIRST_OUTPUT_TOKENS, max_concurrent=1)
        request = replace(limited("g-0-1", quota, size=FIRST_OUTPUT_TOKENS), sequences=10)
        await world.queue.submit(request)
        refusal = await refused(world, limited("g-0-2", quota, size=FIRST_OUTPUT_TOKENS))
        assert refusal.metadata["bound"] == "tokens_per_minute"
        assert refusal.retry_after_seconds == pytest.approx(6, abs=0.5)

    async def test_third_is_refused_when_two_wait_or_run(self, world: World) -> None:
        for i in range(2):
            await world.queue.submit(limited(f"g-0-{i}", TWO_AT_ONCE))
        await claim_one(world)
        refusal = await refused(world, limited("g-0-more", TWO_AT_ONCE))
        assert refusal.metadata == {"bound": "max_concurrent", "limit": "2"}
        assert refusal.retry_after_seconds is not None
        assert 0 < refusal.retry_after_seconds <= 60
        await world.queue.submit(limited("g-0-other", TWO_AT_ONCE, tenant="tenant-b"))

    async def test_wait_is_no_longer_than_a_deadline_when_the_rate_is_unknown(
        self, world: World
    ) -> None:
        quota = Quota(max_concurrent=1)
        await world.queue.submit(limited("g-0-1", quota, deadline_ms=500))
        refusal = await refused(world, limited("g-0-2", quota))
        assert refusal.retry_after_seconds is not None
        assert 0 < refusal.retry_after_seconds <= 0.5 < FULL_RETRY_MS / 1000

    @pytest.mark.parametrize("end", [_finish, _cancel, _expire, _bury])
    async def test_room_is_back_when_one_ends(
        self, world: World, end: Callable[[World, Claimed], Awaitable[None]]
    ) -> None:
        for i in range(2):
            request = limited(f"g-0-{i}", TWO_AT_ONCE, deadline_ms=5_000 if i == 0 else 600_000)
            await world.queue.submit(request)
        claimed = await claim_one(world)
        await refused(world, limited("g-0-2", TWO_AT_ONCE))
        await end(world, claimed)
        await world.queue.submit(limited("g-0-2", TWO_AT_ONCE))
        await refused(world, limited("g-0-3", TWO_AT_ONCE))

    async def test_charge_stays_when_a_worker_is_lost(self, world: World) -> None:
        quota = Quota(max_concurrent=1, tokens_per_minute=10 * SIZE)
        await world.queue.submit(limited("g-0-1", quota))
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, token_ids=[1])])
        await lapse_leases(world)
        assert (await refused(world, limited("g-0-2", quota))).metadata["bound"] == "max_concurrent"
        last = finish(await claim_one(world, "worker-2"))
        await world.queue.write([last])
        await world.queue.submit(limited("g-0-2", quota))

    async def test_repeat_is_not_charged_when_its_ids_are_known(self, world: World) -> None:
        quota = Quota(requests_per_minute=1, tokens_per_minute=SIZE, max_concurrent=1)
        first = limited("g-0-1", quota, request_id="order-1")
        await world.queue.submit(first)
        assert (await world.queue.submit(first)).is_new
        again = await world.queue.submit(limited("g-0-2", quota, request_id="order-1"))
        assert (again.generation_id, again.is_new) == ("g-0-1", False)
        await world.queue.write([finish(await claim_one(world))])
        assert not (await world.queue.submit(limited("g-0-3", quota, request_id="order-1"))).is_new

    async def test_refused_one_is_not_charged_when_another_limit_is_reached(
        self, world: World
    ) -> None:
        quota = Quota(requests_per_minute=2, max_concurrent=1)
        await world.queue.submit(limited("g-0-1", quota))
        for _ in range(3):
            refusal = await refused(world, limited("g-0-2", quota))
            assert refusal.metadata["bound"] == "max_concurrent"
        await world.queue.cancel("g-0-1", TENANT)
        await world.queue.submit(limited("g-0-2", quota))

    async def test_bucket_holds_one_minute_when_long_unused(self, world: World) -> None:
        quota = Quota(requests_per_minute=2)
        await world.queue.submit(limited("g-0-0", quota))
        await world.advance(10 * MINUTE_MS)
        for i in range(1, 3):
            await world.queue.submit(limited(f"g-0-{i}", quota))
        await refused(world, limited("g-0-more", quota))

    async def test_later_limit_holds_when_it_changed(self, world: World) -> None:
        await world.queue.submit(limited("g-0-1", Quota(max_concurrent=1)))
        await refused(world, limited("g-0-2", Quota(max_concurrent=1)))
        await world.queue.submit(limited("g-0-2", Quota(max_concurrent=2)))
        await world.queue.submit(limited("g-0-3", Quota()))

    async def test_dead_letter_counts_again_when_redriven(self, world: World) -> None:
        quota = Quota(max_concurrent=1)
        await world.queue.submit(limited("g-0-1", quota))
        await _bury(world, await claim_one(world))
        assert await buried(world) == ["g-0-1"]
        await world.queue.redrive(["g-0-1"])
        await refused(world, limited("g-0-2", quota))
        await world.queue.cancel("g-0-1", TENANT)
        await world.queue.submit(limited("g-0-2", quota))
