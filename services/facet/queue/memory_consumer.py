"""The worker's side of the in-memory twin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from facet.queue import terminals
from facet.queue.answers import check_writes
from facet.queue.limits import MAX_WAIT_MS
from facet.queue.memory_claims import MemoryClaims
from facet.queue.memory_ledger import End, Ledger
from facet.queue.memory_record import Record
from facet.queue.memory_side import MemorySide
from facet.queue.values import (
    Append,
    Claim,
    ClaimResult,
    Finish,
    Lease,
    State,
    Verdict,
    WriteResult,
)

_ID_BYTES = 4


class MemoryConsumer(MemorySide):
    """`facet.queue.port.Consumer`."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._claims = MemoryClaims(ledger)

    async def claim(self, claim: Claim) -> ClaimResult:
        """See `Consumer.claim`."""
        result = self._claims.claim(claim)
        self._tell()
        return result

    async def wait_for_work(self, worker: str, timeout_ms: int) -> bool:
        """See `Consumer.wait_for_work`."""
        if timeout_ms <= 0:
            return False
        ends = asyncio.get_running_loop().time() + min(timeout_ms, MAX_WAIT_MS) / 1000
        while not self._ledger.hints.take(worker, self._ledger.clock_ms()):
            if not await self._changes_before(ends):
                return False
        return True

    async def pass_on_hint(self) -> None:
        """See `Consumer.pass_on_hint`."""
        if self._ledger.lanes.lanes:
            self._ledger.hints.post()
            self._tell()

    async def write(self, writes: Sequence[Append | Finish]) -> list[WriteResult]:
        """See `Consumer.write`."""
        check_writes(writes)
        results = [self._write(write) for write in writes]
        self._tell()
        return results

    async def heartbeat(
        self, worker: str, fingerprint: str, leases: Sequence[Lease]
    ) -> list[Verdict]:
        """See `Consumer.heartbeat`."""
        return [self._renewed(worker, fingerprint, lease) for lease in leases]

    async def hand_back(self, leases: Sequence[Lease], *, context_tokens: int = 0) -> None:
        """See `Consumer.hand_back`."""
        for lease in leases:
            record = self._ledger.find(lease.generation_id)
            if record and record.is_held_by(lease):
                self._hand_back(record, context_tokens)
        self._tell()

    def _hand_back(self, record: Record, context_tokens: int) -> None:
        if record.next_offset == record.claim_offset:
            record.attempts -= 1
        if record.has_progress:
            record.deaths = 0
        if context_tokens > record.needs.context_tokens:
            record.needs = replace(record.needs, context_tokens=context_tokens)
        self._ledger.requeue(record, "handed-back")

    def _renewed(self, worker: str, fingerprint: str, lease: Lease) -> Verdict:
        record = self._ledger.find(lease.generation_id)
        if record is None:
            is_gone = self._ledger.is_gone(lease.generation_id)
            return Verdict.LEASE_LOST if is_gone else Verdict.REWOUND
        if not record.is_held_by(lease):
            if not _is_rewound(record, lease):
                return Verdict.LEASE_LOST
            self._take_back(record, lease, worker, fingerprint)
        self._ledger.renew(lease.generation_id)
        return Verdict.OK

    def _take_back(self, record: Record, lease: Lease, worker: str, fingerprint: str) -> None:
        if record.state is State.WAITING:
            self._ledger.lanes.leave(record)
        else:
            self._ledger.release(record)
        if record.charged == 0:
            self._ledger.lanes.charge(record, record.size)
            record.charged = record.size
        record.hand_out(lease, worker, fingerprint, is_alone=False)
        self._ledger.note(record, "taken-back", worker)

    def _write(self, write: Append | Finish) -> WriteResult:
        record = self._ledger.find(write.lease.generation_id)
        if record is None or not record.is_held_by(write.lease):
            if record is None and self._ledger.is_gone(write.lease.generation_id):
                return WriteResult(Verdict.LEASE_LOST, 0)
            return _refused(record, write)
        if record.next_offset != write.expected_offset:
            self._ledger.renew(write.lease.generation_id)
            return WriteResult(Verdict.WRONG_OFFSET, record.next_offset)
        log_bytes = record.log_bytes + len(write.response) + _ID_BYTES * len(write.token_ids)
        if log_bytes > self._ledger.limits.max_log_bytes and not isinstance(write, Finish):
            self._ledger.end_by_store(record, terminals.LOG_FULL, "log-full")
            return WriteResult(Verdict.LEASE_LOST, 0)
        record.log_bytes = log_bytes
        if write.voids_ids:
            record.token_ids, record.claim_token_count, record.fingerprint = [], 0, ""
        if write.token_ids:
            record.fingerprint = record.claim_fingerprint
        record.token_ids += write.token_ids
        record.drafted_tokens += write.drafted_tokens
        record.accepted_tokens += write.accepted_tokens
        if isinstance(write, Finish):
            self._finish(record, write)
        else:
            self._ledger.log(record, write.response, write.event_count)
            self._ledger.renew(write.lease.generation_id)
        return WriteResult(Verdict.OK, record.next_offset)

    def _finish(self, record: Record, write: Finish) -> None:
        record.finisher = write.lease
        why = "failed" if write.failure else "finished"
        has_taken = write.prompt_tokens > 0
        end = End(
            response=write.response,
            event_count=write.event_count,
            failure=write.failure,
            why="dead-lettered" if write.is_dead_letter else why,
            took=write.prompt_tokens + write.output_tokens if has_taken else None,
            is_dead_letter=write.is_dead_letter,
            usage=write.usage,
            prompt_tokens=write.prompt_tokens,
            output_tokens=write.output_tokens,
        )
        self._ledger.end(record, end)
        if not write.failure and write.output_tokens > 0:
            each = write.output_tokens / record.submission.sequences
            self._ledger.pace.learn_output(each)


def _is_rewound(record: Record | None, lease: Lease) -> bool:
    """Whether the store forgot the claim that gave this lease."""
    return record is None or (record.state is not State.ENDED and record.epoch < lease.epoch)


def _refused(record: Record | None, write: Append | Finish) -> WriteResult:
    if isinstance(write, Finish) and record and record.finisher == write.lease:
        return WriteResult(Verdict.OK, record.next_offset)
    is_rewound = _is_rewound(record, write.lease)
    return WriteResult(Verdict.REWOUND if is_rewound else Verdict.LEASE_LOST, 0)
