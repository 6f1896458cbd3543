"""The worker's side of the queue in Redis."""

from __future__ import annotations

from collections.abc import Sequence

from facet.queue import terminals
from facet.queue.answers import check_writes
from facet.queue.codec import claimed_request, lease_arguments, offers_arguments, write_arguments
from facet.queue.limits import MAX_WAIT_MS
from facet.queue.redis_side import RedisSide, batches
from facet.queue.values import Append, Claim, ClaimResult, Finish, Lease, Verdict, WriteResult

_VERDICTS = (Verdict.OK, Verdict.LEASE_LOST, Verdict.WRONG_OFFSET, Verdict.REWOUND)


class RedisConsumer(RedisSide):
    """`facet.queue.port.Consumer`."""

    async def claim(self, claim: Claim) -> ClaimResult:
        """See `Consumer.claim`."""
        room = claim.room
        next_check_ms, may_take_hints, *claimed = await self._run(
            "claim",
            claim.worker,
            claim.nonce,
            claim.limit,
            claim.held,
            claim.fingerprint,
            self._limits.lease_ms,
            *offers_arguments(claim.offers),
            room.sequences,
            room.tokens,
            room.free_sequences,
            room.free_tokens,
            *terminals.EXPIRED.blobs(),
        )
        return ClaimResult(
            claimed=tuple(claimed_request(fields, claim.nonce) for fields in claimed),
            next_check_ms=next_check_ms,
            may_take_hints=bool(may_take_hints),
        )

    async def wait_for_work(self, worker: str, timeout_ms: int) -> bool:
        """See `Consumer.wait_for_work`."""
        wait_ms = min(timeout_ms, MAX_WAIT_MS)
        if wait_ms <= 0:
            return False
        keys = (self._keys.of("nudge", worker), self._keys.single("wake"))
        return bool(await self._redis.block(wait_ms, "BLPOP", *keys, wait_ms / 1000))

    async def pass_on_hint(self) -> None:
        """See `Consumer.pass_on_hint`."""
        await self._run("pass_on_hint")

    async def write(self, writes: Sequence[Append | Finish]) -> list[WriteResult]:
        """See `Consumer.write`."""
        check_writes(writes)
        if not writes:
            return []
        reply = await self._run(
            "write",
            self._limits.lease_ms,
            self._limits.dead_letter_ms,
            self._limits.max_log_bytes,
            *terminals.LOG_FULL.blobs(),
            *(argument for write in writes for argument in write_arguments(write)),
        )
        return [
            WriteResult(_VERDICTS[verdict], next_offset)
            for verdict, next_offset in zip(reply[::2], reply[1::2], strict=True)
        ]

    async def heartbeat(
        self, worker: str, fingerprint: str, leases: Sequence[Lease]
    ) -> list[Verdict]:
        """See `Consumer.heartbeat`."""
        verdicts: list[Verdict] = []
        for batch in batches(leases):
            reply = await self._run(
                "heartbeat", self._limits.lease_ms, worker, fingerprint, *lease_arguments(batch)
            )
            verdicts += [_VERDICTS[answer] for answer in reply]
        return verdicts

    async def hand_back(self, leases: Sequence[Lease], *, context_tokens: int = 0) -> None:
        """See `Consumer.hand_back`."""
        for batch in batches(leases):
            await self._run("hand_back", context_tokens, *lease_arguments(batch))

    async def report(self, worker: str, report: bytes) -> bool:
        """See `Consumer.report`."""
        return bool(await self._run("report", worker, report, self._limits.report_ms))

    async def retire(self, worker: str) -> None:
        """See `Consumer.retire`."""
        await self._run("retire", worker)
