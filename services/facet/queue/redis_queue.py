"""The queue in Redis: one script a call, so that every change is atomic."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Self, TypeVar

from facet.core.errors import StoreFullError, StoreUnavailableError
from facet.queue import terminals
from facet.queue.admission import Admission
from facet.queue.answers import (
    check_writes,
    not_found,
    queue_full,
    request_id_reused,
    store_full,
)
from facet.queue.codec import claimed_request, lease_arguments, log_entry, write_arguments
from facet.queue.connection import Argument, RedisConnection
from facet.queue.keys import Keys, idempotency_name
from facet.queue.limits import (
    HANDICAP_MS,
    MAX_BATCH,
    MAX_WAIT_MS,
    QueueLimits,
)
from facet.queue.lua import load_scripts
from facet.queue.port import (
    Append,
    Claim,
    ClaimResult,
    Finish,
    Lease,
    LogEntry,
    State,
    Status,
    Submission,
    Submitted,
    SweepResult,
    Verdict,
    WriteResult,
)

_STATES = {b"W": State.WAITING, b"L": State.LEASED, b"E": State.ENDED}
_VERDICTS = (Verdict.OK, Verdict.LEASE_LOST, Verdict.WRONG_OFFSET)
_NEW, _, _REUSED, _FULL = range(4)
_UNKNOWN, _CANCELLED = range(2)
_POKE_LIFE_MS = 60_000
_Item = TypeVar("_Item")


def _batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), MAX_BATCH):
        yield items[start : start + MAX_BATCH]


class RedisQueue:
    """`facet.queue.port.Queue` over one Redis; see the port for the contract of each call.

    Calls fail with StoreUnavailableError within 2 s (blocking ones within their block time and
    2 s) and work again as soon as the server does.
    """

    def __init__(self, connection: RedisConnection, keys: Keys, limits: QueueLimits) -> None:
        self._redis = connection
        self._keys = keys
        self._limits = limits
        self._scripts = load_scripts()
        self._admission = Admission(connection.command)
        self._reader = secrets.token_hex(16)
        self._poke_cursor = "0"

    @classmethod
    def connect(
        cls, url: str, *, release: str, model: str, limits: QueueLimits | None = None
    ) -> Self:
        """A queue at `url`; connects with the first call, so the server need not run yet.

        Errors: ValueError when release or model cannot be part of a key.
        """
        keys = Keys(release, model)
        return cls(RedisConnection(url, keys.base), keys, limits or QueueLimits())

    async def close(self) -> None:
        """See `Queue.close`."""
        await self._redis.close()

    # Producer

    async def submit(self, submission: Submission) -> Submitted:
        """See `Producer.submit`."""
        is_shedding = await self._admission.is_shedding()
        grace_ms = submission.reader_grace_ms
        request_id = submission.request_id
        code, generation_id, remaining_ms = await self._redis.run(
            self._scripts["submit"],
            submission.generation_id,
            submission.tenant,
            submission.envelope,
            HANDICAP_MS[submission.priority],
            submission.deadline_ms,
            submission.retention_ms,
            "" if grace_ms is None else grace_ms,
            idempotency_name(submission.tenant, request_id) if request_id else "",
            submission.body_digest,
            0 if is_shedding else self._limits.max_waiting,
            out_of_memory=StoreFullError,
        )
        if code == _REUSED:
            raise request_id_reused(generation_id.decode())
        if code == _FULL and is_shedding:
            raise store_full()
        if code == _FULL:
            raise queue_full(self._limits.max_waiting)
        return Submitted(generation_id.decode(), code == _NEW, remaining_ms)

    async def cancel(self, generation_id: str, tenant: str) -> bool:
        """See `Producer.cancel`."""
        code = await self._redis.run(
            self._scripts["cancel"], generation_id, tenant, *terminals.CANCELLED.blobs()
        )
        if code == _UNKNOWN:
            raise not_found(generation_id)
        return bool(code == _CANCELLED)

    async def status(self, generation_id: str, tenant: str) -> Status:
        """See `Producer.status`."""
        reply = await self._redis.run(self._scripts["status"], generation_id, tenant)
        if not reply:
            raise not_found(generation_id)
        state, next_offset, attempts, deaths, worker, created_ms, failure, *rest = reply
        requests_ahead, remaining_ms = rest
        return Status(
            generation_id=generation_id,
            tenant=tenant,
            state=_STATES[state],
            next_offset=next_offset,
            attempts=attempts,
            deaths=deaths,
            worker=worker.decode(),
            created_ms=created_ms,
            failure=failure,
            requests_ahead=requests_ahead,
            remaining_ms=remaining_ms,
        )

    async def touch_readers(self, generation_ids: Sequence[str]) -> None:
        """See `Producer.touch_readers`."""
        for batch in _batches(generation_ids):
            await self._redis.run(self._scripts["touch_readers"], *batch)

    # Reader

    async def read(
        self, cursors: dict[str, str], *, block_ms: int, limit: int
    ) -> dict[str, list[LogEntry]]:
        """See `Reader.read`."""
        keys = {self._keys.of("log", name).encode(): name for name in cursors}
        command: list[Argument] = ["XREAD", "COUNT", limit]
        if block_ms > 0:
            command += ["BLOCK", block_ms]
        command += [
            "STREAMS",
            self._keys.of("poke", self._reader),
            *keys,
            self._poke_cursor,
            *cursors.values(),
        ]
        reply = await self._redis.block(max(block_ms, 0), *command)
        news: dict[str, list[LogEntry]] = {}
        for key, entries in reply or ():
            if key in keys:
                news[keys[key]] = [log_entry(cursor, fields) for cursor, fields in entries]
            else:
                self._poke_cursor = entries[-1][0].decode()
        return news

    async def interrupt(self) -> None:
        """See `Reader.interrupt`."""
        # Without a store the read under way ends by itself, with an error.
        with suppress(StoreUnavailableError):
            await self._redis.run(self._scripts["poke"], self._reader, _POKE_LIFE_MS)

    # Consumer

    async def claim(self, claim: Claim) -> ClaimResult:
        """See `Consumer.claim`."""
        next_check_ms, may_take_hints, *claimed = await self._redis.run(
            self._scripts["claim"],
            claim.worker,
            claim.nonce,
            claim.limit,
            claim.held,
            claim.fingerprint,
            self._limits.lease_ms,
            *terminals.EXPIRED.blobs(),
        )
        return ClaimResult(
            claimed=tuple(claimed_request(fields, claim.nonce) for fields in claimed),
            next_check_ms=next_check_ms,
            may_take_hints=bool(may_take_hints),
        )

    async def wait_for_work(self, timeout_ms: int) -> None:
        """See `Consumer.wait_for_work`."""
        wait_ms = min(timeout_ms, MAX_WAIT_MS)
        if wait_ms > 0:
            await self._redis.block(wait_ms, "BLPOP", self._keys.single("wake"), wait_ms / 1000)

    async def write(self, writes: Sequence[Append | Finish]) -> list[WriteResult]:
        """See `Consumer.write`."""
        check_writes(writes)
        if not writes:
            return []
        reply = await self._redis.run(
            self._scripts["write"],
            self._limits.lease_ms,
            self._limits.dead_letter_ms,
            *(argument for write in writes for argument in write_arguments(write)),
        )
        return [
            WriteResult(_VERDICTS[verdict], next_offset)
            for verdict, next_offset in zip(reply[::2], reply[1::2], strict=True)
        ]

    async def heartbeat(self, leases: Sequence[Lease]) -> list[Verdict]:
        """See `Consumer.heartbeat`."""
        verdicts: list[Verdict] = []
        for batch in _batches(leases):
            reply = await self._redis.run(
                self._scripts["heartbeat"], self._limits.lease_ms, *lease_arguments(batch)
            )
            verdicts += [Verdict.OK if held else Verdict.LEASE_LOST for held in reply]
        return verdicts

    async def hand_back(self, leases: Sequence[Lease]) -> None:
        """See `Consumer.hand_back`."""
        for batch in _batches(leases):
            await self._redis.run(self._scripts["hand_back"], *lease_arguments(batch))

    async def report(self, worker: str, report: bytes) -> None:
        """See `Consumer.report`."""
        await self._redis.run(self._scripts["report"], worker, report, self._limits.report_ms)

    # Observer

    async def sweep(self) -> SweepResult:
        """See `Observer.sweep`."""
        expired, reaped, abandoned, dead_lettered, has_more = await self._redis.run(
            self._scripts["sweep"],
            self._limits.lease_ms,
            self._limits.dead_letter_ms,
            *terminals.EXPIRED.blobs(),
            *terminals.ABANDONED.blobs(),
            *terminals.DEAD_LETTERED.blobs(),
        )
        return SweepResult(expired, reaped, abandoned, dead_lettered, bool(has_more))

    async def reports(self) -> list[bytes]:
        """See `Observer.reports`."""
        return [report for report in await self._redis.run(self._scripts["reports"]) if report]

    async def depth(self) -> int:
        """See `Observer.depth`."""
        return int(await self._redis.run(self._scripts["depth"]))

    async def ping(self) -> None:
        """See `Observer.ping`."""
        await self._redis.command("PING")
