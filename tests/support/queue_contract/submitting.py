"""Contract of `Producer.submit` and `Producer.status`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facet.core.errors import GenerationNotFoundError, QueueFullError, RequestIdReusedError
from facet.queue.values import Priority, State
from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    World,
    claim,
    claim_one,
    finish,
    submission,
)


class SubmitContract:
    async def test_request_waits_when_submitted(self, world: World) -> None:
        submitted = await world.queue.submit(submission())
        assert submitted.is_new
        assert submitted.generation_id == "g-0-1"
        status = await world.queue.status("g-0-1", TENANT)
        assert status.state is State.WAITING
        assert (status.attempts, status.deaths, status.next_offset) == (0, 0, 0)
        assert (await world.queue.depth()).waiting == 1

    async def test_nothing_is_added_when_a_generation_id_repeats(self, world: World) -> None:
        await world.queue.submit(submission())
        assert (await world.queue.submit(submission())).is_new
        assert (await world.queue.depth()).waiting == 1

    async def test_nothing_is_added_when_a_running_generation_id_repeats(
        self, world: World
    ) -> None:
        await world.queue.submit(submission())
        await claim_one(world)
        await world.queue.submit(submission())
        assert (await world.queue.depth()).waiting == 0

    async def test_earlier_id_is_told_when_a_request_id_repeats(self, world: World) -> None:
        first = submission("g-0-1", request_id="order-7", body_digest=b"\x00body")
        again = submission("g-0-2", request_id="order-7", body_digest=b"\x00body")
        await world.queue.submit(first)
        submitted = await world.queue.submit(again)
        assert submitted.generation_id == "g-0-1"
        assert not submitted.is_new
        assert (await world.queue.depth()).waiting == 1

    async def test_deadline_told_is_the_first_ones_when_a_request_id_repeats(
        self, world: World
    ) -> None:
        first = await world.queue.submit(submission(request_id="order-7", deadline_ms=60_000))
        assert 59_000 < first.remaining_ms <= 60_000
        await world.advance(20_000)
        again = submission("g-0-2", request_id="order-7", deadline_ms=1_000)
        assert 39_000 < (await world.queue.submit(again)).remaining_ms <= 40_000
        assert 39_000 < (await world.queue.status("g-0-1", TENANT)).remaining_ms <= 40_000
        await world.advance(60_000)
        assert (await world.queue.status("g-0-1", TENANT)).remaining_ms == 0

    @pytest.mark.parametrize("generation_id", ["g-0-1", "g-0-2"])
    async def test_request_is_not_abandoned_when_a_repeat_came_within_the_grace(
        self, world: World, generation_id: str
    ) -> None:
        first = submission(request_id="order-7", reader_grace_ms=STEP_MS + 1_000)
        await world.queue.submit(first)
        await world.queue.sweep()
        await world.advance(STEP_MS)
        await world.queue.submit(replace(first, generation_id=generation_id))
        await world.queue.sweep()
        await world.advance(STEP_MS)
        assert (await world.queue.sweep()).abandoned == 0

    async def test_no_reader_is_missed_when_a_request_without_one_repeats(
        self, world: World
    ) -> None:
        await world.queue.submit(submission(request_id="order-7"))
        again = submission("g-0-2", request_id="order-7", reader_grace_ms=1_000)
        await world.queue.submit(again)
        await world.queue.sweep()
        await world.advance(STEP_MS)
        assert (await world.queue.sweep()).abandoned == 0

    async def test_request_is_refused_when_its_id_has_another_body(self, world: World) -> None:
        await world.queue.submit(submission("g-0-1", request_id="order-7", body_digest=b"a"))
        with pytest.raises(RequestIdReusedError):
            await world.queue.submit(submission("g-0-2", request_id="order-7", body_digest=b"b"))
        assert (await world.queue.depth()).waiting == 1

    async def test_request_is_new_when_its_id_is_another_tenants(self, world: World) -> None:
        await world.queue.submit(submission("g-0-1", request_id="order-7"))
        other = submission("g-0-2", request_id="order-7", tenant="tenant-b", body_digest=b"b")
        assert (await world.queue.submit(other)).is_new

    async def test_earlier_id_is_told_when_the_request_has_ended(self, world: World) -> None:
        await world.queue.submit(submission("g-0-1", request_id="order-7"))
        await world.queue.cancel("g-0-1", TENANT)
        submitted = await world.queue.submit(submission("g-0-2", request_id="order-7"))
        assert (submitted.generation_id, submitted.is_new) == ("g-0-1", False)

    async def test_request_id_is_free_when_the_retention_has_passed(self, world: World) -> None:
        await world.queue.submit(submission("g-0-1", request_id="order-7", retention_ms=70_000))
        await world.queue.cancel("g-0-1", TENANT)
        await world.advance(71_000)
        await world.queue.sweep()
        submitted = await world.queue.submit(submission("g-0-2", request_id="order-7"))
        assert (submitted.generation_id, submitted.is_new) == ("g-0-2", True)

    async def test_request_is_refused_when_the_queue_is_full(self, world: World) -> None:
        for i in range(world.limits.max_waiting):
            await world.queue.submit(submission(f"g-0-{i}"))
        with pytest.raises(QueueFullError) as refusal:
            await world.queue.submit(submission("g-0-more"))
        assert (refusal.value.retry_after_seconds or 0) > 0
        with pytest.raises(GenerationNotFoundError):
            await world.queue.status("g-0-more", TENANT)

    async def test_repeat_is_answered_when_the_queue_is_full(self, world: World) -> None:
        for i in range(world.limits.max_waiting):
            await world.queue.submit(submission(f"g-0-{i}"))
        assert (await world.queue.submit(submission("g-0-0"))).is_new

    async def test_request_is_accepted_when_a_place_became_free(self, world: World) -> None:
        for i in range(world.limits.max_waiting):
            await world.queue.submit(submission(f"g-0-{i}"))
        await world.queue.claim(claim())
        assert (await world.queue.submit(submission("g-0-more"))).is_new

    async def test_requests_ahead_are_counted_when_waiting(self, world: World) -> None:
        for i in range(3):
            await world.queue.submit(submission(f"g-0-{i}"))
            await world.advance(1)
        await world.queue.submit(submission("g-0-first", priority=Priority.INTERACTIVE))
        ahead = [
            (await world.queue.status(name, TENANT)).requests_ahead
            for name in ("g-0-first", "g-0-0", "g-0-1", "g-0-2")
        ]
        assert ahead == [0, 1, 2, 3]

    async def test_status_names_worker_and_failure_when_ended(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world, "worker-9")
        await world.queue.write([finish(claimed, failure=b"\x08\x0d")])
        status = await world.queue.status("g-0-1", TENANT)
        assert status.state is State.ENDED
        assert (status.worker, status.failure, status.next_offset) == ("worker-9", b"\x08\x0d", 1)

    async def test_status_is_refused_when_another_tenant_asks(self, world: World) -> None:
        await world.queue.submit(submission())
        with pytest.raises(GenerationNotFoundError):
            await world.queue.status("g-0-1", "tenant-b")
