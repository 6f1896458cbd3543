"""The in-memory twin's sweep: what `sweep.lua` does in Redis."""

from __future__ import annotations

from facet.queue import terminals
from facet.queue.limits import GAP_LEASE_SHARE, MAX_BATCH, SWEEP_INTERVAL_MS
from facet.queue.memory_ledger import Ledger, Record
from facet.queue.port import State, SweepResult


class MemorySweep:
    """Ends what is overdue or abandoned and takes requests from workers that are gone."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._swept_ms: int | None = None
        self._has_backlog = False
        self._hold_ms: int | None = None

    def run(self) -> SweepResult:
        """One bounded sweep; does nothing when the last one was too recent."""
        now = self._ledger.clock_ms()
        age = now - self._swept_ms if self._swept_ms is not None else None
        if age is not None and not self._has_backlog and 0 <= age < SWEEP_INTERVAL_MS:
            return SweepResult(0, 0, 0, 0, has_more=False)
        self._rebase(now, age or 0)
        budget = MAX_BATCH
        overdue = self._overdue(self._ledger.deadlines, budget)
        expired = self._end_all(overdue, terminals.EXPIRED)
        budget -= len(overdue)
        reaped = dead = abandoned = 0
        if self._hold_ms is None or now >= self._hold_ms:
            lapsed = self._overdue(self._ledger.leases, budget)
            reaped, dead = len(lapsed), sum(self._reap(record) for record in lapsed)
            budget -= len(lapsed)
            overdue = self._overdue(self._ledger.readers, budget)
            abandoned = self._end_all(overdue, terminals.ABANDONED)
            budget -= len(overdue)
        self._swept_ms, self._has_backlog = now, budget == 0
        return SweepResult(expired, reaped, abandoned, dead, has_more=budget == 0)

    def _rebase(self, now: int, age: int) -> None:
        latest = now + self._ledger.limits.lease_ms
        if age > GAP_LEASE_SHARE * self._ledger.limits.lease_ms:
            self._hold_ms = latest
        if self._hold_ms is not None:
            self._hold_ms = min(self._hold_ms, latest)
        for generation_id, lapse_ms in self._ledger.leases.items():
            self._ledger.leases[generation_id] = min(lapse_ms, latest)

    def _overdue(self, times: dict[str, int], budget: int) -> list[Record]:
        now = self._ledger.clock_ms()
        due = sorted((at_ms, name) for name, at_ms in times.items() if at_ms <= now)
        records = (self._ledger.find(name) for _, name in due[:budget])
        return [record for record in records if record]

    def _end_all(self, records: list[Record], terminal: terminals.Terminal) -> int:
        for record in records:
            self._ledger.end_by_store(record, terminal)
        return len(records)

    def _reap(self, record: Record) -> bool:
        """Whether the request was dead-lettered."""
        if record.state is not State.LEASED:
            return False
        has_progress = len(record.token_ids) > record.claim_token_count
        lapse_ms = self._ledger.leases[record.submission.generation_id]
        has_died = self._hold_ms is None or lapse_ms > self._hold_ms
        if has_progress:
            record.deaths = 0
        elif has_died:
            record.deaths += 1
        if record.is_alone and has_died and not has_progress:
            self._ledger.end_by_store(record, terminals.DEAD_LETTERED, is_dead=True)
            return True
        self._ledger.requeue(record)
        return False
