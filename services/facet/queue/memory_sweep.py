"""The in-memory twin's sweep: what `sweep.lua` does in Redis."""

from __future__ import annotations

from collections.abc import Callable

from facet.queue import terminals
from facet.queue.limits import GAP_LEASE_SHARE, MAX_SWEEP, SWEEP_INTERVAL_MS
from facet.queue.memory_ledger import Ledger
from facet.queue.memory_record import Record
from facet.queue.views import SweepResult


class MemorySweep:
    """Ends what is overdue or abandoned and takes requests from workers that are gone."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._swept_ms: int | None = None
        self._has_backlog = False
        self._hold_ms = 0
        self._budget = 0
        self._counts = {"expired": 0, "reaped": 0, "abandoned": 0, "dead_lettered": 0}

    def run(self) -> SweepResult:
        """One bounded sweep; does nothing when the last one was too recent."""
        now = self._ledger.clock_ms()
        age = now - self._swept_ms if self._swept_ms is not None else None
        if age is not None and not self._has_backlog and 0 <= age < SWEEP_INTERVAL_MS:
            return SweepResult(0, 0, 0, 0, has_more=False)
        self._counts = dict.fromkeys(self._counts, 0)
        self._budget, self._has_backlog = MAX_SWEEP, False
        self._rebase(now, age or 0)
        self._each_overdue(self._ledger.timers, self._ring)
        if now >= self._hold_ms:
            self._each_overdue(self._ledger.leases, self._reap)
        self._each_overdue(self._ledger.expiring, self._ledger.forget)
        self._swept_ms = now
        return SweepResult(**self._counts, has_more=self._has_backlog)

    def _rebase(self, now: int, age: int) -> None:
        """After a gap nobody could renew anything: whoever lives gets one lease time to do so."""
        latest = now + self._ledger.limits.lease_ms
        if age > GAP_LEASE_SHARE * self._ledger.limits.lease_ms:
            self._hold_ms = latest
        self._hold_ms = min(self._hold_ms, latest)
        for name, lapse_ms in self._ledger.leases.items():
            self._ledger.leases[name] = min(lapse_ms, latest)

    def _each_overdue(self, times: dict[str, int], act: Callable[[Record], None]) -> None:
        if not self._budget:
            self._has_backlog = True
            return
        now = self._ledger.clock_ms()
        due = sorted((at_ms, name) for name, at_ms in times.items() if at_ms <= now)[: self._budget]
        if len(due) == self._budget:
            self._has_backlog = True
        self._budget -= len(due)
        for _, name in due:
            record = self._ledger.find(name)
            if record:
                act(record)
            else:
                del times[name]

    def _ring(self, record: Record) -> None:
        now = self._ledger.clock_ms()
        if record.due_ms <= now:
            self._ledger.end_by_store(record, terminals.EXPIRED, "expired")
            self._counts["expired"] += 1
        elif now >= self._hold_ms:
            self._ledger.end_by_store(record, terminals.ABANDONED, "abandoned")
            self._counts["abandoned"] += 1
        else:
            # While readers may not have been able to renew, they get until the end of the hold.
            self._ledger.timers[record.generation_id] = min(record.due_ms, self._hold_ms)

    def _reap(self, record: Record) -> None:
        """Take a request from its worker.

        Where the lease lapsed no later than the hold ends, the outage may be why: the worker is not
        taken for dead of this request.
        """
        self._counts["reaped"] += 1
        has_died = self._ledger.leases[record.generation_id] > self._hold_ms
        if record.has_progress:
            record.deaths = 0
        elif has_died:
            record.deaths += 1
        if record.is_alone and has_died and not record.has_progress:
            self._ledger.end_by_store(
                record, terminals.DEAD_LETTERED, "dead-lettered", is_dead_letter=True
            )
            self._counts["dead_lettered"] += 1
        else:
            self._ledger.requeue(record, "lost-worker")
