"""Contract of what the store ends itself: cancelled, expired and abandoned requests."""

from __future__ import annotations

import pytest

from facet.api.v1 import error_pb2, generation_pb2
from facet.core.errors import GenerationNotFoundError, Reason
from facet.queue.limits import MAX_SWEEP
from facet.queue.values import State, Verdict
from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    World,
    append,
    claim,
    claim_one,
    finish,
    log_of,
    submission,
    terminal_of,
)

FinishReason = generation_pb2.FinishReason


class CancelContract:
    async def test_request_ends_at_once_when_cancelled_waiting(self, world: World) -> None:
        await world.queue.submit(submission())
        assert await world.queue.cancel("g-0-1", TENANT)
        event = await terminal_of(world)
        assert event.finished.finish_reason == FinishReason.FINISH_REASON_CANCELLED
        assert event.finished.failure.reason == Reason.ERROR_REASON_CANCELLED
        assert event.finished.failure.metadata["has_run"] == "false"
        assert (await world.queue.claim(claim())).claimed == ()
        assert (await world.queue.depth()).waiting == 0

    @pytest.mark.parametrize("event_count", [1, 127, 128, 300])
    async def test_terminal_event_follows_the_log_when_cancelled_running(
        self, world: World, event_count: int
    ) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, 0, range(event_count + 1), count=event_count)])
        assert await world.queue.cancel("g-0-1", TENANT)
        event = await terminal_of(world)
        assert event.offset == event_count
        assert (event.token_start, event.token_end) == (event_count + 1, event_count + 1)
        assert event.finished.failure.metadata["has_run"] == "true"
        assert await world.queue.heartbeat("worker-1", "print-1", [claimed.lease]) == [
            Verdict.LEASE_LOST
        ]
        (result,) = await world.queue.write([append(claimed, event_count)])
        assert result.verdict is Verdict.LEASE_LOST

    async def test_nothing_changes_when_cancelled_ended(self, world: World) -> None:
        await world.queue.submit(submission())
        await world.queue.write([finish(await claim_one(world))])
        assert not await world.queue.cancel("g-0-1", TENANT)
        assert len(await log_of(world)) == 1

    async def test_second_cancel_is_false_when_cancelled(self, world: World) -> None:
        await world.queue.submit(submission())
        assert await world.queue.cancel("g-0-1", TENANT)
        assert not await world.queue.cancel("g-0-1", TENANT)
        await terminal_of(world)

    async def test_nothing_is_found_when_another_tenant_cancels(self, world: World) -> None:
        await world.queue.submit(submission())
        with pytest.raises(GenerationNotFoundError):
            await world.queue.cancel("g-0-1", "tenant-b")
        assert (await world.queue.status("g-0-1", TENANT)).state is State.WAITING

    async def test_nothing_is_found_when_the_id_is_unknown(self, world: World) -> None:
        with pytest.raises(GenerationNotFoundError):
            await world.queue.cancel("g-0-none", TENANT)

    async def test_failure_is_in_log_and_status_when_cancelled(self, world: World) -> None:
        await world.queue.submit(submission())
        await world.queue.cancel("g-0-1", TENANT)
        status = await world.queue.status("g-0-1", TENANT)
        (entry,) = await log_of(world)
        assert status.failure == entry.failure
        failure = error_pb2.Failure.FromString(entry.failure)
        assert failure == (await terminal_of(world)).finished.failure


class DeadlineContract:
    async def test_request_expires_when_no_worker_lives(self, world: World) -> None:
        await world.queue.submit(submission(deadline_ms=2_000))
        await world.queue.sweep()
        await world.advance(STEP_MS)
        result = await world.queue.sweep()
        assert (result.expired, result.reaped, result.has_more) == (1, 0, False)
        event = await terminal_of(world)
        assert event.finished.finish_reason == FinishReason.FINISH_REASON_DEADLINE
        assert event.finished.failure.reason == Reason.ERROR_REASON_DEADLINE_EXCEEDED
        assert event.finished.failure.metadata["has_run"] == "false"

    async def test_worker_loses_the_lease_when_the_deadline_passes(self, world: World) -> None:
        await world.queue.submit(submission(deadline_ms=2_000))
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, token_ids=[1, 2])])
        await world.queue.sweep()
        await world.advance(STEP_MS)
        assert (await world.queue.sweep()).expired == 1
        assert await world.queue.heartbeat("worker-1", "print-1", [claimed.lease]) == [
            Verdict.LEASE_LOST
        ]
        event = await terminal_of(world)
        assert (event.offset, event.token_end) == (1, 2)
        assert event.finished.failure.metadata["has_run"] == "true"

    async def test_request_lives_when_the_deadline_is_ahead(self, world: World) -> None:
        await world.queue.submit(submission(deadline_ms=5_000))
        await world.queue.sweep()
        await world.advance(STEP_MS)
        assert (await world.queue.sweep()).expired == 0
        assert (await world.queue.status("g-0-1", TENANT)).state is State.WAITING

    async def test_every_request_expires_when_there_are_many(self, world: World) -> None:
        for i in range(5 * MAX_SWEEP):
            await world.queue.submit(submission(f"g-0-{i}", deadline_ms=2_000))
        await world.queue.sweep()
        await world.advance(STEP_MS)
        results = [await world.queue.sweep() for _ in range(5)]
        assert [result.expired for result in results] == [MAX_SWEEP] * 5
        assert [result.has_more for result in results] == [True] * 5
        assert (await world.queue.depth()).waiting == 0


class ReaderPresenceContract:
    async def test_request_is_cancelled_when_its_readers_stay_away(self, world: World) -> None:
        await world.queue.submit(submission(reader_grace_ms=2_000))
        await world.queue.sweep()
        await world.advance(STEP_MS)
        assert (await world.queue.sweep()).abandoned == 1
        event = await terminal_of(world)
        assert event.finished.finish_reason == FinishReason.FINISH_REASON_CANCELLED
        assert event.finished.failure.reason == Reason.ERROR_REASON_CANCELLED
        assert "reader" in event.finished.failure.message

    async def test_worker_loses_the_lease_when_readers_stay_away(self, world: World) -> None:
        await world.queue.submit(submission(reader_grace_ms=2_000))
        claimed = await claim_one(world)
        await world.queue.sweep()
        await world.advance(STEP_MS)
        await world.queue.sweep()
        assert await world.queue.heartbeat("worker-1", "print-1", [claimed.lease]) == [
            Verdict.LEASE_LOST
        ]

    async def test_request_lives_when_readers_renew_their_presence(self, world: World) -> None:
        await world.queue.submit(submission(reader_grace_ms=4_000))
        for _ in range(3):
            await world.queue.sweep()
            await world.advance(STEP_MS)
            await world.queue.follow("reader-1", {"g-0-1": 0, "g-0-none": 0})
        assert (await world.queue.sweep()).abandoned == 0

    async def test_request_lives_without_readers_when_it_has_no_grace(self, world: World) -> None:
        await world.queue.submit(submission(reader_grace_ms=None))
        await world.queue.follow("reader-1", {"g-0-1": 0})
        for _ in range(6):
            await world.queue.sweep()
            await world.advance(STEP_MS)
        assert (await world.queue.status("g-0-1", TENANT)).state is State.WAITING

    async def test_ended_request_stays_ended_when_readers_touch_it(self, world: World) -> None:
        await world.queue.submit(submission(reader_grace_ms=2_000))
        await world.queue.cancel("g-0-1", TENANT)
        await world.queue.follow("reader-1", {"g-0-1": 0})
        await world.queue.sweep()
        await world.advance(STEP_MS)
        assert (await world.queue.sweep()).abandoned == 0
        await terminal_of(world)
