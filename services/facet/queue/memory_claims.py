"""The in-memory twin's claims: what `claim.lua` does in Redis."""

from __future__ import annotations

from collections.abc import Sequence

from facet.queue import terminals
from facet.queue.limits import MAX_CLAIM, MAX_WAIT_MS, RESERVED_CHECK_MS
from facet.queue.memory_ledger import Ledger, Record
from facet.queue.port import Claim, Claimed, ClaimResult, Lease


class MemoryClaims:
    """Gives waiting requests to workers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._by_nonce: dict[str, tuple[int, list[str]]] = {}
        self._reserved: tuple[str, int] | None = None

    def claim(self, claim: Claim) -> ClaimResult:
        """See `Consumer.claim`."""
        now = self._ledger.clock_ms()
        ends, ids = self._by_nonce.get(claim.nonce, (now, []))
        if ends > now:
            return ClaimResult(tuple(self._repeat(claim, ids)), MAX_WAIT_MS)
        if claim.worker in self._ledger.alone:
            return ClaimResult((), MAX_WAIT_MS, may_take_hints=False)
        if self._reserves(claim):
            if not self._ledger.hints and self._candidate("ready", claim):
                self._ledger.post_hint()
            return ClaimResult((), RESERVED_CHECK_MS, may_take_hints=False)
        claimed = self._take(claim)
        if claimed:
            ids = [each.lease.generation_id for each in claimed]
            self._by_nonce[claim.nonce] = (now + self._ledger.limits.lease_ms, ids)
            if self._ledger.waiting():
                self._ledger.post_hint()
        if not self._ledger.waiting():
            self._ledger.hints = 0
        return ClaimResult(tuple(claimed), MAX_WAIT_MS)

    def _repeat(self, claim: Claim, ids: Sequence[str]) -> list[Claimed]:
        claimed = []
        for generation_id in ids:
            record = self._ledger.find(generation_id)
            lease = record.lease if record else None
            if record and lease and lease.nonce == claim.nonce and record.holds(lease):
                self._ledger.renew(generation_id)
                claimed.append(self._ledger.describe(record))
        return claimed

    def _reserves(self, claim: Claim) -> bool:
        now = self._ledger.clock_ms()
        if not claim.held or self._ledger.alone or not self._candidate("suspects", claim):
            return False
        if self._reserved and self._reserved[0] != claim.worker and self._reserved[1] > now:
            return False
        self._reserved = (claim.worker, now + self._ledger.limits.lease_ms)
        return True

    def _take(self, claim: Claim) -> list[Claimed]:
        is_empty = claim.held == 0
        if is_empty and not self._ledger.alone:
            suspect = self._take_suspect(claim)
            if suspect:
                return suspect
        claimed: list[Claimed] = []
        while len(claimed) < min(claim.limit, MAX_CLAIM):
            record = self._candidate("ready", claim)
            if record is None:
                break
            claimed.append(self._lease(record, claim))
        return claimed or (self._take_suspect(claim) if is_empty else [])

    def _take_suspect(self, claim: Claim) -> list[Claimed]:
        record = self._candidate("suspects", claim)
        if record is None:
            return []
        record.is_alone = True
        self._ledger.alone[claim.worker] = record.submission.generation_id
        self._reserved = None
        return [self._lease(record, claim)]

    def _candidate(self, kind: str, claim: Claim) -> Record | None:
        while record := self._ledger.first(kind, claim.fingerprint):
            if record.due_ms > self._ledger.clock_ms():
                return record
            self._ledger.end_by_store(record, terminals.EXPIRED)
        return None

    def _lease(self, record: Record, claim: Claim) -> Claimed:
        epoch = record.lease.epoch + 1 if record.lease else 1
        lease = Lease(record.submission.generation_id, epoch, claim.nonce)
        self._ledger.lease(record, lease, claim.worker, claim.fingerprint)
        return self._ledger.describe(record)
