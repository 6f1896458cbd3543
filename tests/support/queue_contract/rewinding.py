"""Contract of writes and heartbeats when the store fell back to an older state."""

from __future__ import annotations

from facet.queue.values import Append, Finish, Lease, State, Verdict, WriteResult
from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    World,
    append,
    claim,
    claim_one,
    lapse_leases,
    names,
    response,
    submission,
    terminal_of,
)


class RewoundContract:
    async def test_lease_is_taken_back_when_the_store_forgot_the_claim(self, world: World) -> None:
        await world.queue.submit(submission())
        lease = Lease("g-0-1", 1, "of-a-lost-claim")
        lost = Append(lease, 2, 1, (1,), b"")
        assert (await world.queue.write([lost]))[0].verdict is Verdict.REWOUND
        assert await world.queue.heartbeat("worker-1", "print-1", [lease]) == [Verdict.OK]
        (result,) = await world.queue.write([lost])
        assert (result.verdict, result.next_offset) == (Verdict.WRONG_OFFSET, 0)
        assert names(await world.queue.claim(claim("worker-2"))) == []

    async def test_lease_is_taken_back_when_the_store_forgot_only_the_last_claim(
        self, world: World
    ) -> None:
        await world.queue.submit(submission())
        older = await claim_one(world)
        ours = Lease("g-0-1", older.lease.epoch + 1, "of-a-lost-claim")
        assert await world.queue.heartbeat("worker-2", "print-1", [ours]) == [Verdict.OK]
        assert (await world.queue.write([append(older)]))[0].verdict is Verdict.LEASE_LOST
        assert (await world.queue.heartbeat("worker-1", "print-1", [older.lease])) == [
            Verdict.LEASE_LOST
        ]
        told = await world.queue.inspect("g-0-1")
        assert (told.status.worker, told.life[-1].what) == ("worker-2", "taken-back")
        (result,) = await world.queue.write([Append(ours, 0, 1, (7,), response(0))])
        assert result == WriteResult(Verdict.OK, 1)
        await world.queue.hand_back([ours])
        again = await claim_one(world)
        assert (again.token_ids, again.lease.epoch) == ((7,), ours.epoch + 1)

    async def test_lease_lasts_when_it_was_taken_back_and_is_renewed(self, world: World) -> None:
        await world.queue.submit(submission())
        lease = Lease("g-0-1", 1, "of-a-lost-claim")
        for _ in range(3):
            assert await world.queue.heartbeat("worker-1", "print-1", [lease]) == [Verdict.OK]
            await world.queue.sweep()
            await world.advance(STEP_MS)
        await lapse_leases(world)
        status = await world.queue.status("g-0-1", TENANT)
        assert (status.state, status.attempts, status.deaths) == (State.WAITING, 1, 1)

    async def test_request_is_charged_once_when_its_lease_was_taken_back(
        self, world: World
    ) -> None:
        for tenant in ("a", "b"):
            for i in range(3):
                await world.queue.submit(submission(f"g-0-{tenant}{i}", tenant=tenant))
        lease = Lease("g-0-a0", 1, "of-a-lost-claim")
        for _ in range(2):
            await world.queue.heartbeat("worker-1", "print-1", [lease])
        assert (await world.queue.inspect("g-0-a0")).charged_tokens > 0
        await world.queue.hand_back([lease])
        claimed = names(await world.queue.claim(claim(limit=6)))
        assert [name[4] for name in claimed] == ["b", "a", "a", "b", "a", "b"]

    async def test_worker_is_told_when_the_store_lost_the_request(self, world: World) -> None:
        lease = Lease("g-0-1", 1, "of-a-lost-claim")
        for write in (
            Append(lease, 0, 1, (), response(0)),
            Finish(lease, 0, 1, (), response(0, is_terminal=True)),
        ):
            assert (await world.queue.write([write]))[0].verdict is Verdict.REWOUND
        assert await world.queue.heartbeat("worker-1", "print-1", [lease]) == [Verdict.REWOUND]
        # The gateway submits it again; then the worker goes on.
        await world.queue.submit(submission())
        assert await world.queue.heartbeat("worker-1", "print-1", [lease]) == [Verdict.OK]

    async def test_request_stays_ended_when_a_later_lease_is_claimed_for_it(
        self, world: World
    ) -> None:
        await world.queue.submit(submission())
        await world.queue.cancel("g-0-1", TENANT)
        lease = Lease("g-0-1", 9, "of-a-lost-claim")
        assert await world.queue.heartbeat("worker-1", "print-1", [lease]) == [Verdict.LEASE_LOST]
        write = Append(lease, 1, 1, (), response(1))
        assert (await world.queue.write([write]))[0].verdict is Verdict.LEASE_LOST
        await terminal_of(world)
