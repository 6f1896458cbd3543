"""Contract of `Consumer.write` and `heartbeat`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facet.api.v1 import error_pb2
from facet.queue.limits import MAX_BATCH, MIN_RETENTION_MS
from facet.queue.values import Lease, State, Verdict, WriteResult
from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    World,
    append,
    claim,
    claim_one,
    events_of,
    finish,
    lapse_leases,
    log_of,
    response,
    submission,
    terminal_of,
)


class WriteContract:
    async def test_events_are_logged_when_the_offset_is_right(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        results = await world.queue.write(
            [append(claimed, 0, [1, 2], count=2), append(claimed, 2, [3])]
        )
        assert results == [WriteResult(Verdict.OK, 2), WriteResult(Verdict.OK, 3)]
        entries = await log_of(world)
        assert [(entry.first_offset, entry.event_count) for entry in entries] == [(0, 2), (2, 1)]
        assert entries[0].response == response(0, 2)
        assert [event.offset for event in events_of(entries)] == [0, 1, 2]

    async def test_nothing_is_logged_when_the_offset_is_wrong(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, 0, [1], count=2)])
        for wrong in (0, 1, 3):
            (result,) = await world.queue.write([append(claimed, wrong, [9])])
            assert result == WriteResult(Verdict.WRONG_OFFSET, 2)
        assert len(await log_of(world)) == 1

    async def test_append_is_not_repeated_when_its_answer_was_lost(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        lost = append(claimed, 0, [1])
        await world.queue.write([lost])
        (result,) = await world.queue.write([lost])
        assert result == WriteResult(Verdict.WRONG_OFFSET, lost.expected_offset + 1)
        assert (await world.queue.write([append(claimed, 1, [2])]))[0].verdict is Verdict.OK

    async def test_append_is_refused_when_another_worker_has_the_lease(self, world: World) -> None:
        await world.queue.submit(submission())
        paused = await claim_one(world)
        await world.queue.write([append(paused, token_ids=[1])])
        await lapse_leases(world)
        current = await claim_one(world, "worker-2")
        assert current.lease.epoch > paused.lease.epoch
        results = await world.queue.write([append(paused, 1, [2]), append(current, token_ids=[2])])
        assert [result.verdict for result in results] == [Verdict.LEASE_LOST, Verdict.OK]
        assert len(await log_of(world)) == 2

    async def test_request_ends_with_a_reason_when_its_log_is_full(self, world: World) -> None:
        step = len(response(1)) + 4
        await world.restrict(replace(world.limits, max_log_bytes=3 * step))
        for name in ("g-0-1", "g-0-2"):
            await world.queue.submit(submission(name))
        first, second = (await world.queue.claim(claim(limit=2))).claimed
        for offset in range(3):
            written = await world.queue.write([append(first, offset, [offset])])
            assert written == [WriteResult(Verdict.OK, offset + 1)]
        results = await world.queue.write([append(first, 3, [3]), append(second, 0, [1])])
        assert [result.verdict for result in results] == [Verdict.LEASE_LOST, Verdict.OK]
        (again,) = await world.queue.write([append(first, 3, [3])])
        assert again.verdict is Verdict.LEASE_LOST

        entries = await log_of(world, first.lease.generation_id)
        assert [entry.event_count for entry in entries] == [1, 1, 1, 1]
        terminal = await terminal_of(world, first.lease.generation_id)
        assert terminal.finished.failure.reason == error_pb2.ERROR_REASON_LOG_FULL
        assert (terminal.offset, terminal.token_end) == (3, 3)
        assert (await world.queue.status(first.lease.generation_id, TENANT)).deaths == 0

    async def test_end_is_written_when_the_log_is_full(self, world: World) -> None:
        step = len(response(0)) + 4
        await world.restrict(replace(world.limits, max_log_bytes=step))
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, 0, [1])])
        (result,) = await world.queue.write([finish(claimed, 1)])
        assert result.verdict is Verdict.OK
        assert (await log_of(world))[-1].failure == b""

    @pytest.mark.parametrize(("epoch", "nonce"), [(1, "another"), (0, "once")])
    async def test_lease_is_lost_when_epoch_or_nonce_differs(
        self, world: World, epoch: int, nonce: str
    ) -> None:
        await world.queue.submit(submission())
        (claimed,) = (await world.queue.claim(claim(nonce="once"))).claimed
        assert claimed.lease.epoch == 1
        forged = Lease("g-0-1", epoch, nonce)
        assert await world.queue.heartbeat("worker-1", "print-1", [forged]) == [Verdict.LEASE_LOST]
        await world.queue.hand_back([forged])
        assert await world.queue.heartbeat("worker-1", "print-1", [claimed.lease]) == [Verdict.OK]

    async def test_lease_lasts_when_a_wrong_offset_is_written(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        for _ in range(2):
            await world.queue.sweep()
            await world.advance(STEP_MS)
            await world.queue.write([append(claimed, 7)])
        assert (await world.queue.sweep()).reaped == 0

    async def test_others_are_written_when_one_of_a_batch_is_refused(self, world: World) -> None:
        for i in range(3):
            await world.queue.submit(submission(f"g-0-{i}"))
        first, second, third = (await world.queue.claim(claim(limit=3))).claimed
        await world.queue.cancel(second.lease.generation_id, TENANT)
        results = await world.queue.write([append(first), append(second), finish(third)])
        assert [result.verdict for result in results] == [
            Verdict.OK,
            Verdict.LEASE_LOST,
            Verdict.OK,
        ]

    async def test_lease_lasts_when_appends_renew_it(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        for offset in range(4):
            await world.queue.sweep()
            await world.advance(STEP_MS)
            (result,) = await world.queue.write([append(claimed, offset)])
            assert result.verdict is Verdict.OK
        await world.queue.sweep()
        assert (await world.queue.status("g-0-1", TENANT)).state is State.LEASED

    async def test_lease_lasts_when_heartbeats_renew_it(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        for _ in range(4):
            await world.queue.sweep()
            await world.advance(STEP_MS)
            assert await world.queue.heartbeat("worker-1", "print-1", [claimed.lease]) == [
                Verdict.OK
            ]
        await world.queue.sweep()
        assert (await world.queue.status("g-0-1", TENANT)).state is State.LEASED

    async def test_heartbeat_tells_each_lease_apart_when_one_is_lost(self, world: World) -> None:
        for i in range(2):
            await world.queue.submit(submission(f"g-0-{i}"))
            await world.advance(1)
        leases = [each.lease for each in (await world.queue.claim(claim(limit=2))).claimed]
        await world.queue.cancel("g-0-0", TENANT)
        unknown = Lease("g-0-none", 1, "n")
        verdicts = await world.queue.heartbeat("worker-1", "print-1", [*leases, unknown])
        assert verdicts == [Verdict.LEASE_LOST, Verdict.OK, Verdict.REWOUND]

    async def test_draft_counts_come_back_when_another_worker_claims(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        write = append(claimed, token_ids=[1, 2])
        counted = type(write)(
            write.lease, 0, 1, (1, 2), write.response, drafted_tokens=3, accepted_tokens=1
        )
        await world.queue.write([counted])
        await lapse_leases(world)
        resumed = await claim_one(world, "worker-2")
        assert (resumed.drafted_tokens, resumed.accepted_tokens) == (3, 1)

    @pytest.mark.parametrize("count", [0, -1])
    async def test_batch_is_refused_when_a_write_has_no_event(
        self, world: World, count: int
    ) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        write = append(claimed)
        bad = type(write)(write.lease, 0, count, (), b"")
        with pytest.raises(ValueError, match="event"):
            await world.queue.write([bad])

    async def test_batch_is_refused_when_it_is_too_long(self, world: World) -> None:
        await world.queue.submit(submission())
        write = append(await claim_one(world))
        with pytest.raises(ValueError, match="at most"):
            await world.queue.write([write] * (MAX_BATCH + 1))

    async def test_nothing_happens_when_nothing_is_written(self, world: World) -> None:
        assert await world.queue.write([]) == []
        assert await world.queue.heartbeat("worker-1", "print-1", []) == []


class FinishContract:
    async def test_request_has_ended_when_finished(self, world: World) -> None:
        await world.queue.submit(submission(reader_grace_ms=10_000))
        claimed = await claim_one(world)
        results = await world.queue.write([append(claimed, 0, [1]), finish(claimed, 1, [2])])
        assert [result.next_offset for result in results] == [1, 2]
        assert (await world.queue.status("g-0-1", TENANT)).state is State.ENDED
        assert (await terminal_of(world)).offset == 1

    async def test_second_finish_is_ok_and_writes_nothing_when_repeated(self, world: World) -> None:
        await world.queue.submit(submission())
        last = finish(await claim_one(world))
        results = await world.queue.write([last]) + await world.queue.write([last])
        assert results == [WriteResult(Verdict.OK, 1)] * 2
        await terminal_of(world)

    async def test_append_is_refused_when_finished(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.write([finish(claimed)])
        (result,) = await world.queue.write([append(claimed, 1)])
        assert result.verdict is Verdict.LEASE_LOST

    async def test_finish_is_refused_when_cancelled_before(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.cancel("g-0-1", TENANT)
        (result,) = await world.queue.write([finish(claimed)])
        assert result.verdict is Verdict.LEASE_LOST
        await terminal_of(world)

    async def test_finish_is_refused_when_the_offset_is_wrong(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        (result,) = await world.queue.write([finish(claimed, 3)])
        assert result == WriteResult(Verdict.WRONG_OFFSET, 0)
        assert (await world.queue.status("g-0-1", TENANT)).state is State.LEASED

    async def test_finish_of_a_lost_worker_is_refused_when_another_finished(
        self, world: World
    ) -> None:
        await world.queue.submit(submission())
        paused = await claim_one(world)
        await lapse_leases(world)
        await world.queue.write([finish(await claim_one(world, "worker-2"))])
        assert (await world.queue.write([finish(paused)]))[0].verdict is Verdict.LEASE_LOST
        await terminal_of(world)

    async def test_result_is_kept_for_the_retention_only_when_finished(self, world: World) -> None:
        await world.queue.submit(submission(retention_ms=80_000))
        await world.queue.write([finish(await claim_one(world))])
        await world.advance(78_000)
        assert len(await log_of(world)) == 1
        await world.advance(3_000)
        await world.queue.sweep()
        assert await world.stored_names() == set()

    async def test_result_can_be_fetched_when_no_retention_is_wanted(self, world: World) -> None:
        await world.queue.submit(submission(retention_ms=0))
        await world.queue.write([finish(await claim_one(world))])
        await world.advance(MIN_RETENTION_MS - 2_000)
        await terminal_of(world)
        assert (await world.queue.status("g-0-1", TENANT)).state is State.ENDED
        await world.advance(3_000)
        await world.queue.sweep()
        assert await world.stored_names() == set()

    async def test_request_is_kept_when_dead_lettered(self, world: World) -> None:
        await world.queue.submit(submission(retention_ms=8_000))
        last = finish(await claim_one(world), failure=b"why", is_dead_letter=True)
        await world.queue.write([last])
        await world.advance(60_000)
        assert (await world.queue.status("g-0-1", TENANT)).failure == b"why"
        await world.advance(world.limits.dead_letter_ms)
        await world.queue.sweep()
        assert await world.stored_names() == set()
