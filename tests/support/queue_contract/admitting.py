"""Contract of the bounds of `Producer.submit`, and of what callers are told to wait."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facet.core.errors import FacetError, QueueFullError, QuotaExceededError
from facet.queue.limits import (
    FIRST_OUTPUT_TOKENS,
    FULL_RETRY_MS,
    MAX_RETRY_MS,
    OUTPUT_MEMORY,
    PACE_MS,
    QueueLimits,
)
from facet.queue.values import Priority, Submission
from tests.support.queue_contract.world import (
    TENANT,
    World,
    append,
    claim,
    claim_one,
    finish,
    lapse_leases,
    submission,
)

SIZE = 1_000


def sized(generation_id: str, *, tenant: str = TENANT, size: int = SIZE) -> Submission:
    """A request of so many tokens and 100 bytes."""
    request = submission(generation_id, tenant=tenant)
    prompt_tokens = size - FIRST_OUTPUT_TOKENS
    return replace(request, prompt_tokens=prompt_tokens, envelope=bytes(100))


async def refused(world: World, request: Submission) -> FacetError:
    """The refusal of a request."""
    with pytest.raises((QueueFullError, QuotaExceededError)) as refusal:
        await world.queue.submit(request)
    return refusal.value


class AdmissionContract:
    @pytest.mark.parametrize(
        ("limits", "error", "bound"),
        [
            (QueueLimits(max_waiting=3), QueueFullError, "requests"),
            (QueueLimits(max_waiting_tokens=3 * SIZE), QueueFullError, "tokens"),
            (QueueLimits(max_waiting_bytes=300), QueueFullError, "bytes"),
            (QueueLimits(tenant_max_waiting=3), QuotaExceededError, "requests"),
            (QueueLimits(tenant_max_waiting_tokens=3 * SIZE), QuotaExceededError, "tokens"),
            (QueueLimits(tenant_max_waiting_bytes=300), QuotaExceededError, "bytes"),
        ],
    )
    async def test_fourth_is_refused_when_a_bound_allows_three(
        self, world: World, limits: QueueLimits, error: type[FacetError], bound: str
    ) -> None:
        await world.restrict(limits)
        for i in range(3):
            await world.queue.submit(sized(f"g-0-{i}"))
        refusal = await refused(world, sized("g-0-more"))
        assert (type(refusal), refusal.metadata["bound"]) == (error, bound)
        assert refusal.retry_after_seconds == FULL_RETRY_MS / 1000
        assert (await world.queue.depth()).waiting == 3
        if error is QuotaExceededError:
            await world.queue.submit(sized("g-0-other", tenant="tenant-b"))
        await world.queue.cancel("g-0-0", TENANT)
        await world.queue.submit(sized("g-0-more"))

    async def test_wait_is_what_the_queue_needs_when_requests_leave_it(self, world: World) -> None:
        await world.restrict(QueueLimits(max_waiting=2))
        for i in range(4):
            await world.queue.submit(sized(f"g-0-{i}"))
            if i < 2:
                await claim_one(world)
        await world.advance(2_000)
        refusal = await refused(world, sized("g-0-more"))
        # 2,000 tokens left in 2 s, and it takes 1,000 itself.
        assert refusal.retry_after_seconds == pytest.approx(1, rel=0.05)
        status = await world.queue.status("g-0-3", TENANT)
        assert (status.requests_ahead, status.tokens_ahead) == (1, SIZE)
        assert status.wait_ms == pytest.approx(1_000, rel=0.05)
        assert (await world.queue.depth()).drain_tokens_per_second == pytest.approx(1_000, rel=0.05)

    async def test_wait_counts_the_tokens_over_the_bound_when_tokens_are_bounded(
        self, world: World
    ) -> None:
        await world.restrict(QueueLimits(max_waiting_tokens=5 * SIZE))
        for i in range(6):
            await world.queue.submit(sized(f"g-0-{i}"))
            if i == 0:
                await claim_one(world)
        await world.advance(1_000)
        refusal = await refused(world, sized("g-0-more", size=4 * SIZE))
        assert refusal.retry_after_seconds == pytest.approx(4, rel=0.05)

    async def test_wait_is_bounded_when_the_queue_hardly_moves(self, world: World) -> None:
        await world.restrict(QueueLimits(max_waiting_tokens=10**6))
        await world.queue.submit(sized("g-0-1"))
        await claim_one(world)
        await world.queue.submit(sized("g-0-2", size=10**6))
        refusal = await refused(world, sized("g-0-more", size=500_000))
        assert refusal.retry_after_seconds == MAX_RETRY_MS / 1000

    async def test_rate_is_unknown_when_nothing_left_lately(self, world: World) -> None:
        await world.queue.submit(sized("g-0-1"))
        await claim_one(world)
        await world.queue.submit(sized("g-0-2"))
        assert (await world.queue.status("g-0-2", TENANT)).wait_ms is not None
        await world.advance(2 * PACE_MS)
        assert (await world.queue.status("g-0-2", TENANT)).wait_ms is None
        assert (await world.queue.depth()).drain_tokens_per_second == 0

    async def test_depth_follows_when_requests_come_and_go(self, world: World) -> None:
        for priority in Priority:
            request = replace(sized(f"g-0-{priority}"), priority=priority)
            await world.queue.submit(request)
            await world.advance(1_000)
        depth = await world.queue.depth()
        oldest = [depth.classes[priority].oldest_ms for priority in Priority]
        assert oldest == pytest.approx([3_000, 2_000, 1_000], abs=300)
        assert {(each.requests, each.tokens) for each in depth.classes.values()} == {(1, SIZE)}
        assert (depth.waiting_bytes, depth.leased, depth.waiting) == (300, 0, 3)
        claimed = await claim_one(world)
        depth = await world.queue.depth()
        assert depth.classes[Priority.INTERACTIVE].requests == 0
        assert (depth.waiting_bytes, depth.leased, depth.waiting) == (200, 1, 2)
        await world.queue.hand_back([claimed.lease])
        assert (await world.queue.depth()).waiting_bytes == 300
        await claim_one(world)
        await lapse_leases(world)
        depth = await world.queue.depth()
        assert (depth.waiting_bytes, depth.leased, depth.waiting) == (300, 0, 3)
        for priority in Priority:
            await world.queue.cancel(f"g-0-{priority}", TENANT)
        depth = await world.queue.depth()
        assert (depth.waiting_bytes, depth.leased, depth.waiting) == (0, 0, 0)

    async def test_expected_length_follows_when_answers_end(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        long = FIRST_OUTPUT_TOKENS + 32 * OUTPUT_MEMORY
        await world.queue.write([replace(finish(claimed), prompt_tokens=1, output_tokens=long)])
        assert (await world.queue.depth()).mean_output_tokens == FIRST_OUTPUT_TOKENS + 32
        await world.queue.submit(replace(submission("g-0-2"), prompt_tokens=10))
        assert (await claim_one(world)).charged_tokens == 10 + FIRST_OUTPUT_TOKENS + 32

    async def test_expected_length_stays_when_answers_fail(self, world: World) -> None:
        await world.queue.submit(submission())
        last = finish(await claim_one(world), failure=b"why")
        await world.queue.write([replace(last, prompt_tokens=1, output_tokens=9_999)])
        assert (await world.queue.depth()).mean_output_tokens == FIRST_OUTPUT_TOKENS

    async def test_answer_counts_as_short_when_the_request_bounds_it(self, world: World) -> None:
        request = replace(submission(), prompt_tokens=100, max_output_tokens=5)
        await world.queue.submit(request)
        assert (await claim_one(world)).charged_tokens == 105

    async def test_bound_counts_what_waits_when_requests_are_requeued(self, world: World) -> None:
        await world.restrict(QueueLimits(max_waiting=1))
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, token_ids=[1])])
        await world.queue.submit(submission("g-0-2"))
        await world.queue.hand_back([claimed.lease])
        assert (await world.queue.depth()).waiting == 2
        await refused(world, submission("g-0-3"))
        await world.queue.claim(claim(limit=2))
        await world.queue.submit(submission("g-0-3"))
