"""The queue in one process's memory: for tests of what stands on a queue.

Passes the contract tests that `RedisQueue` passes. All sides have to run in one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from facet.queue import terminals
from facet.queue.answers import check_writes, not_found, queue_full, request_id_reused
from facet.queue.codec import first_offset_after
from facet.queue.keys import idempotency_name
from facet.queue.limits import (
    HANDICAP_MS,
    MAX_BATCH,
    MAX_WAIT_MS,
    QueueLimits,
)
from facet.queue.memory_claims import MemoryClaims
from facet.queue.memory_ledger import Ledger, Record
from facet.queue.memory_sweep import MemorySweep
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


def monotonic_ms() -> int:
    """Milliseconds that never go back."""
    return time.monotonic_ns() // 1_000_000


class MemoryQueue:
    """`facet.queue.port.Queue` without a store; see the port for the contract of each call.

    `clock_ms` is the store's time, for tests that move it; waits take real time.
    """

    def __init__(
        self, limits: QueueLimits | None = None, *, clock_ms: Callable[[], int] = monotonic_ms
    ) -> None:
        self._limits = limits or QueueLimits()
        self._clock_ms = clock_ms
        self._ledger = Ledger(self._limits, clock_ms)
        self._claims = MemoryClaims(self._ledger)
        self._sweep = MemorySweep(self._ledger)
        self._by_request_id: dict[str, tuple[str, bytes]] = {}
        self._reports: dict[str, tuple[int, bytes]] = {}
        self._changed = asyncio.Event()
        self._is_interrupted = False

    async def close(self) -> None:
        """See `Queue.close`."""

    # Producer

    async def submit(self, submission: Submission) -> Submitted:
        """See `Producer.submit`."""
        if known := self._ledger.find(submission.generation_id):
            return self._repeated(known, is_new=True)
        name = idempotency_name(submission.tenant, submission.request_id)
        earlier = self._by_request_id.get(name) if submission.request_id else None
        if earlier and (record := self._ledger.find(earlier[0])):
            if earlier[1] != submission.body_digest:
                raise request_id_reused(earlier[0])
            return self._repeated(record, is_new=False)
        if self._ledger.waiting() >= self._limits.max_waiting:
            raise queue_full(self._limits.max_waiting)
        now = self._clock_ms()
        score = now + HANDICAP_MS[submission.priority]
        self._ledger.add(Record(submission, now, now + submission.deadline_ms, score))
        if submission.request_id:
            self._by_request_id[name] = (submission.generation_id, submission.body_digest)
        self._tell()
        return Submitted(submission.generation_id, True, submission.deadline_ms)

    async def cancel(self, generation_id: str, tenant: str) -> bool:
        """See `Producer.cancel`."""
        record = self._owned(generation_id, tenant)
        if record.state is State.ENDED:
            return False
        self._ledger.end_by_store(record, terminals.CANCELLED)
        self._tell()
        return True

    async def status(self, generation_id: str, tenant: str) -> Status:
        """See `Producer.status`."""
        record = self._owned(generation_id, tenant)
        ahead = 0
        if record.state is State.WAITING:
            place = (record.score, generation_id)
            ahead = sum(
                other < place
                for kind in {record.lane, "ready"}
                for other in self._ledger.lanes.get(kind, ())
            )
        return Status(
            generation_id=generation_id,
            tenant=tenant,
            state=record.state,
            next_offset=record.next_offset,
            attempts=record.attempts,
            deaths=record.deaths,
            worker=record.worker,
            created_ms=record.born_ms,
            failure=record.log[-1].failure if record.state is State.ENDED else b"",
            requests_ahead=ahead,
            remaining_ms=self._ledger.remaining_ms(record),
        )

    async def touch_readers(self, generation_ids: Sequence[str]) -> None:
        """See `Producer.touch_readers`."""
        for generation_id in generation_ids:
            record = self._ledger.find(generation_id)
            if record:
                self._ledger.touch_reader(record)

    # Reader

    async def read(
        self, cursors: dict[str, str], *, block_ms: int, limit: int
    ) -> dict[str, list[LogEntry]]:
        """See `Reader.read`."""
        ends = asyncio.get_running_loop().time() + block_ms / 1000
        while True:
            changed = self._changed
            news = {name: self._after(name, cursor, limit) for name, cursor in cursors.items()}
            news = {name: entries for name, entries in news.items() if entries}
            if news or self._is_interrupted or not await _set_before(changed, ends):
                self._is_interrupted = False
                return news

    async def interrupt(self) -> None:
        """See `Reader.interrupt`."""
        self._is_interrupted = True
        self._tell()

    # Consumer

    async def claim(self, claim: Claim) -> ClaimResult:
        """See `Consumer.claim`."""
        result = self._claims.claim(claim)
        self._tell()
        return result

    async def wait_for_work(self, timeout_ms: int) -> None:
        """See `Consumer.wait_for_work`."""
        ends = asyncio.get_running_loop().time() + min(timeout_ms, MAX_WAIT_MS) / 1000
        while not self._ledger.hints:
            if not await _set_before(self._changed, ends):
                return
        self._ledger.hints -= 1

    async def write(self, writes: Sequence[Append | Finish]) -> list[WriteResult]:
        """See `Consumer.write`."""
        check_writes(writes)
        results = [self._write(write) for write in writes]
        self._tell()
        return results

    async def heartbeat(self, leases: Sequence[Lease]) -> list[Verdict]:
        """See `Consumer.heartbeat`."""
        verdicts = []
        for lease in leases:
            record = self._ledger.find(lease.generation_id)
            is_held = record is not None and record.holds(lease)
            if is_held:
                self._ledger.renew(lease.generation_id)
            verdicts.append(Verdict.OK if is_held else Verdict.LEASE_LOST)
        return verdicts

    async def hand_back(self, leases: Sequence[Lease]) -> None:
        """See `Consumer.hand_back`."""
        for lease in leases:
            record = self._ledger.find(lease.generation_id)
            if record and record.holds(lease):
                if record.next_offset == record.claim_offset:
                    record.attempts -= 1
                if len(record.token_ids) > record.claim_token_count:
                    record.deaths = 0
                self._ledger.requeue(record)
        self._tell()

    async def report(self, worker: str, report: bytes) -> None:
        """See `Consumer.report`."""
        self._reports[worker] = (self._clock_ms() + self._limits.report_ms, report)

    # Observer

    async def sweep(self) -> SweepResult:
        """See `Observer.sweep`."""
        result = self._sweep.run()
        self._tell()
        return result

    async def reports(self) -> list[bytes]:
        """See `Observer.reports`."""
        now = self._clock_ms()
        self._reports = {name: each for name, each in self._reports.items() if each[0] > now}
        return [report for _, report in sorted(self._reports.values(), reverse=True)[:MAX_BATCH]]

    async def depth(self) -> int:
        """See `Observer.depth`."""
        return self._ledger.waiting()

    async def ping(self) -> None:
        """See `Observer.ping`."""

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _repeated(self, record: Record, *, is_new: bool) -> Submitted:
        self._ledger.touch_reader(record)
        remaining_ms = self._ledger.remaining_ms(record)
        return Submitted(record.submission.generation_id, is_new, remaining_ms)

    def _owned(self, generation_id: str, tenant: str) -> Record:
        record = self._ledger.find(generation_id)
        if record is None or record.submission.tenant != tenant:
            raise not_found(generation_id)
        return record

    def _after(self, generation_id: str, cursor: str, limit: int) -> list[LogEntry]:
        record = self._ledger.find(generation_id)
        first = first_offset_after(cursor)
        entries = record.log if record else []
        return [entry for entry in entries if entry.first_offset >= first][:limit]

    def _write(self, write: Append | Finish) -> WriteResult:
        record = self._ledger.find(write.lease.generation_id)
        if record is None or not record.holds(write.lease):
            if isinstance(write, Finish) and record and record.finisher == write.lease:
                return WriteResult(Verdict.OK, record.next_offset)
            return WriteResult(Verdict.LEASE_LOST, 0)
        if record.next_offset != write.expected_offset:
            self._ledger.renew(write.lease.generation_id)
            return WriteResult(Verdict.WRONG_OFFSET, record.next_offset)
        self._ledger.write(record, write)
        return WriteResult(Verdict.OK, record.next_offset)


async def _set_before(event: asyncio.Event, ends: float) -> bool:
    """Whether the event was set before the loop's time `ends`."""
    try:
        async with asyncio.timeout_at(ends):
            await event.wait()
    except TimeoutError:
        return False
    return True
