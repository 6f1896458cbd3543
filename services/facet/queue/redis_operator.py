"""What everybody may ask of the queue in Redis, and what operators may do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from facet.queue import terminals
from facet.queue.answers import check_page, invalid_page, not_found
from facet.queue.codec import (
    audit_entry,
    dead_letter,
    depth_of,
    inspection_of,
    leased_work,
    scaling_record,
    usage_record,
)
from facet.queue.limits import AUDIT_ENTRIES, MAX_BATCH, MAX_WAIT_MS
from facet.queue.redis_side import RedisSide, batches
from facet.queue.views import (
    AuditEntry,
    DeadLetters,
    Depth,
    Inspection,
    LeasedWork,
    ScalingRecord,
    SweepResult,
    UsagePage,
    UsageTrim,
)

# Longer numbers are none that Redis takes.
_STREAM_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")

_LETTERS_PER_CALL = 20
"""Each costs a dozen commands."""

_NO_ARRIVAL = "0-0"
"""Cursor before the first."""


class RedisOperator(RedisSide):
    """`facet.queue.port.Observer` and `Operator`."""

    async def sweep(self) -> SweepResult:
        """See `Observer.sweep`."""
        expired, reaped, abandoned, dead_lettered, has_more = await self._run(
            "sweep",
            self._limits.lease_ms,
            self._limits.dead_letter_ms,
            *terminals.EXPIRED.blobs(),
            *terminals.ABANDONED.blobs(),
            *terminals.DEAD_LETTERED.blobs(),
        )
        return SweepResult(expired, reaped, abandoned, dead_lettered, bool(has_more))

    async def reports(self) -> list[bytes]:
        """See `Observer.reports`."""
        return [report for report in await self._run("reports") if report]

    async def depth(self) -> Depth:
        """See `Observer.depth`."""
        return depth_of(await self._run("depth"))

    async def depths(self) -> dict[int, Depth]:
        """See `Observer.depths`."""
        return {self._keys.shard: await self.depth()}

    async def leased_work(self) -> LeasedWork:
        """See `Observer.leased_work`."""
        return leased_work(await self._run("leased_work"))

    async def wait_for_arrival(self, cursor: str, timeout_ms: int) -> str:
        """See `Observer.wait_for_arrival`."""
        key = self._keys.single("arrivals")
        if not cursor:
            latest = await self._redis.command("XREVRANGE", key, "+", "-", "COUNT", 1)
            return latest[0][0].decode() if latest else _NO_ARRIVAL
        block_ms = max(min(timeout_ms, MAX_WAIT_MS), 1)
        found = await self._redis.block(
            block_ms, "XREAD", "COUNT", 1, "BLOCK", block_ms, "STREAMS", key, cursor
        )
        return found[0][1][0][0].decode() if found else cursor

    async def takes_telling(self, who: str, life_ms: int) -> bool:
        """See `Observer.takes_telling`."""
        return bool(await self._run("take_telling", who, life_ms))

    async def origins(self, generation_ids: Sequence[str]) -> dict[str, str]:
        """See `Observer.origins`."""
        origin: bytes | None = await self._redis.command("GET", self._keys.single("origin"))
        return dict.fromkeys(generation_ids, (origin or b"").decode())

    async def trim_usage(self, life_ms: int, most: int) -> UsageTrim:
        """See `Operator.trim_usage`."""
        return UsageTrim(*await self._run("trim_usage", life_ms, most))

    async def is_empty(self) -> bool:
        """See `Observer.is_empty`."""
        # A live request has a timer, an ended one a time when it is forgotten.
        keys = [self._keys.single(name) for name in ("timers", "leases", "lanes", "expiring")]
        return not await self._redis.command("EXISTS", *keys)

    async def ping(self) -> None:
        """See `Observer.ping`."""
        # Of a cluster, the node that has the queue is to answer: PING names none.
        await self._redis.command("EXISTS", self._keys.base)

    async def scaling(self) -> ScalingRecord:
        """See `Operator.scaling`."""
        return scaling_record(await self._run("recall_scaling"))

    async def inspect(self, generation_id: str) -> Inspection:
        """See `Operator.inspect`."""
        reply = await self._run("inspect", generation_id)
        if not reply:
            raise not_found(generation_id)
        return inspection_of(generation_id, reply)

    async def dead_letters(self, *, page: str, limit: int) -> DeadLetters:
        """See `Operator.dead_letters`."""
        check_page(page)
        last, *letters = await self._run(
            "dead_letters", f"({page}" if page else "+inf", min(limit, MAX_BATCH)
        )
        return DeadLetters(tuple(dead_letter(fields) for fields in letters), last.decode())

    async def redrive(self, generation_ids: Sequence[str]) -> int:
        """See `Operator.redrive`."""
        batched = batches(generation_ids, _LETTERS_PER_CALL)
        return sum([await self._run("redrive", *batch) for batch in batched])

    async def discard(self, generation_ids: Sequence[str]) -> int:
        """See `Operator.discard`."""
        batched = batches(generation_ids, _LETTERS_PER_CALL)
        return sum([await self._run("discard", *batch) for batch in batched])

    async def drain_worker(self, worker: str) -> bool:
        """See `Operator.drain_worker`."""
        return bool(await self._run("drain_worker", worker))

    async def usage(self, *, since_ms: int, until_ms: int, page: str, limit: int) -> UsagePage:
        """See `Operator.usage`."""
        if page and not _STREAM_ID.fullmatch(page):
            raise invalid_page()
        key, begin = self._keys.single("usage"), f"({page}" if page else max(since_ms, 0)
        if until_ms <= 0:
            return UsagePage((), "")
        entries = await self._redis.command("XRANGE", key, begin, until_ms - 1, "COUNT", limit)
        records = tuple(usage_record(name, fields) for name, fields in entries)
        return UsagePage(records, entries[-1][0].decode() if len(entries) == limit else "")

    async def audit(self, who: str, action: str, subject: str) -> None:
        """See `Operator.audit`."""
        fields = ("who", who, "action", action, "subject", subject)
        key = self._keys.single("audit")
        await self._redis.command("XADD", key, "MAXLEN", "~", AUDIT_ENTRIES, "*", *fields)

    async def audits(self, *, limit: int) -> list[AuditEntry]:
        """See `Operator.audits`."""
        key = self._keys.single("audit")
        entries = await self._redis.command("XREVRANGE", key, "+", "-", "COUNT", limit)
        return [audit_entry(name, fields) for name, fields in entries]
