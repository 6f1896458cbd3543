"""The worker's side of a queue of several shards."""

from __future__ import annotations

from collections.abc import Sequence

from facet.queue.answers import check_writes
from facet.queue.sharded_claims import ShardedClaims
from facet.queue.sharded_side import ShardedSide, ask
from facet.queue.sharded_waits import ShardedWait
from facet.queue.shards import Shards
from facet.queue.values import (
    Append,
    Claim,
    ClaimResult,
    Finish,
    Lease,
    Verdict,
    WriteResult,
)


class ShardedConsumer(ShardedSide):
    """`facet.queue.port.Consumer`."""

    def __init__(self, shards: Shards) -> None:
        super().__init__(shards)
        self._claims: dict[str, ShardedClaims] = {}
        self._waits: dict[str, ShardedWait] = {}

    async def claim(self, claim: Claim) -> ClaimResult:
        """See `Consumer.claim`; fails only when no shard answers."""
        claims = self._claims.setdefault(claim.worker, ShardedClaims())
        wait = self._wait_of(claim.worker)
        claims.expect(wait.answered)
        wait.answered = set()
        result, visited = await claims.claim(self._shards.queues, claim, wait.hinted)
        unfollowed, wait.hinted = wait.hinted - visited, set()
        await wait.pass_on(unfollowed)
        return result

    async def wait_for_work(self, worker: str, timeout_ms: int) -> bool:
        """See `Consumer.wait_for_work`; fails only when no shard answers. One wait a worker."""
        return await self._wait_of(worker).wait(self._shards.queues, timeout_ms)

    async def pass_on_hint(self) -> None:
        """See `Consumer.pass_on_hint`."""
        (await self._ask_all(lambda queue: queue.pass_on_hint())).all()

    async def write(self, writes: Sequence[Append | Finish]) -> list[WriteResult]:
        """See `Consumer.write`; what is in a shard that is not served any more is REWOUND."""
        check_writes(writes)
        groups = self._served(range(len(writes)), lambda i: writes[i].lease.generation_id)
        found = await ask(
            {at: queue.write([writes[i] for i in each]) for at, (queue, each) in groups.items()}
        )
        results = [WriteResult(Verdict.REWOUND, 0)] * len(writes)
        for at, answers in found.all().items():
            for i, result in zip(groups[at][1], answers, strict=True):
                results[i] = result
        return results

    async def heartbeat(
        self, worker: str, fingerprint: str, leases: Sequence[Lease]
    ) -> list[Verdict]:
        """See `Consumer.heartbeat`."""
        groups = self._served(leases, lambda lease: lease.generation_id)
        found = await ask(
            {at: queue.heartbeat(worker, fingerprint, each) for at, (queue, each) in groups.items()}
        )
        verdicts = dict.fromkeys(leases, Verdict.REWOUND)
        for at, (_, each) in groups.items():
            if at in found.failures:
                verdicts |= dict.fromkeys(each, Verdict.UNANSWERED)
        for at, answers in found.some().items():
            verdicts |= zip(groups[at][1], answers, strict=True)
        return [verdicts[lease] for lease in leases]

    async def hand_back(self, leases: Sequence[Lease], *, context_tokens: int = 0) -> None:
        """See `Consumer.hand_back`."""
        groups = self._served(leases, lambda lease: lease.generation_id)
        found = await ask(
            {
                at: queue.hand_back(each, context_tokens=context_tokens)
                for at, (queue, each) in groups.items()
            }
        )
        found.all()

    async def report(self, worker: str, report: bytes) -> bool:
        """See `Consumer.report`."""
        return await self._first.report(worker, report)

    async def retire(self, worker: str) -> None:
        """See `Consumer.retire`."""
        (await self._ask_all(lambda queue: queue.retire(worker))).all()

    def _wait_of(self, worker: str) -> ShardedWait:
        return self._waits.setdefault(worker, ShardedWait(worker))

    async def _stop_waiting(self) -> None:
        for wait in self._waits.values():
            await wait.close()
