"""The in-memory twin's choice of what a worker gets: the middle of `claim.lua`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from facet.queue import terminals
from facet.queue.limits import (
    AGE_BATCH_MS,
    AGE_STANDARD_MS,
    HOLD_MS,
    HOLD_SLACK,
    MAX_CLAIM,
    MAX_PREFERENCE,
    MAX_WAIT_MS,
)
from facet.queue.memory_ledger import Ledger
from facet.queue.memory_record import SUSPECTS, Lane, Record
from facet.queue.values import Claim, Priority

_AGES_MS = {Priority.STANDARD: AGE_STANDARD_MS, Priority.BATCH: AGE_BATCH_MS}


@dataclass
class Reservation:
    """One worker empties itself for one request; others leave both alone until it lapses."""

    worker: str = ""
    generation_id: str = ""
    until_ms: int = 0

    def take(self, worker: str, generation_id: str, now: int, lease_ms: int) -> bool:
        """Whether the worker has it."""
        if now < self.until_ms and (self.worker, self.generation_id) != (worker, generation_id):
            return False
        self.worker, self.generation_id, self.until_ms = worker, generation_id, now + lease_ms
        return True

    def drop(self, generation_id: str) -> None:
        """End it, when this is what it is for."""
        if self.generation_id == generation_id:
            self.until_ms = 0

    def is_anothers(self, worker: str, generation_id: str, now: int) -> bool:
        """Whether another worker empties itself for this request."""
        is_for_it = now < self.until_ms and self.generation_id == generation_id
        return is_for_it and self.worker != worker


@dataclass(frozen=True)
class Chosen:
    """A request and where its tenant stands, in virtual time or for suspects by age."""

    record: Record
    at: float


@dataclass(frozen=True)
class Choice:
    """What a worker gets of a kind, and what waits for room in it."""

    chosen: Chosen | None
    blocked: Record | None


class Chooser:
    """The choices of one claim; `next_check_ms` shrinks to the end of the shortest hold."""

    def __init__(self, ledger: Ledger, reservation: Reservation, claim: Claim) -> None:
        self.looked = 0
        self.next_check_ms = MAX_WAIT_MS
        self._ledger = ledger
        self._reservation = reservation
        self._claim = claim
        self._now = ledger.clock_ms()
        self._free_sequences = claim.room.free_sequences
        self._free_tokens = claim.room.free_tokens
        lanes = [lane for lane in ledger.lanes.lanes if self._is_able(lane)]
        kinds = (SUSPECTS, *Priority)
        self._able = {int(kind): [lane for lane in lanes if lane.kind == kind] for kind in kinds}
        self._verdicts: dict[str, str] = {}

    def has_lanes(self, kind: int) -> bool:
        """Whether something of this kind waited for such a worker when the claim began."""
        return bool(self._able[kind])

    def is_aged(self, kind: int) -> bool:
        """Whether the oldest of a kind has waited so long that it has turns."""
        places = (self._ledger.lanes.oldest_place(lane) for lane in self._able[kind])
        oldest = min((place for place in places if place is not None), default=math.inf)
        return (self._ledger.now_us() - oldest) / 1000 > _AGES_MS[Priority(kind)]

    def take(self, record: Record) -> None:
        """Count the room that a request takes."""
        self._free_sequences -= record.submission.sequences
        self._free_tokens -= record.size

    def choose(self, kind: int) -> Choice:
        """What the worker gets of a kind.

        A tenant that is passed is overtaken by no more than its own next charge, which keeps the
        bound of fairness.
        """
        chosen = self._first(kind)
        if chosen:
            return Choice(chosen, None)
        while (choice := self._scan(kind)) is None:
            pass
        return choice

    def _first(self, kind: int) -> Chosen | None:
        """The first in order, when the worker may simply take it."""
        while self.looked < MAX_CLAIM and (found := self._tenants(kind, 1)):
            at, tenant, lane = found[0]
            record = self._ledger.records[self._ledger.lanes.first_id(lane, tenant)]
            verdict = self._verdict(record)
            if verdict != "gone":
                return Chosen(record, at) if verdict == "take" else None
            self._ledger.end_by_store(record, terminals.EXPIRED, "expired")
        return None

    def _scan(self, kind: int) -> Choice | None:
        """One look at all that may be taken; None when one had to be ended."""
        latest = math.inf
        blocked: Record | None = None
        preferred: list[Chosen] = []
        for at, tenant, lane in self._tenants(kind, MAX_CLAIM):
            if at > latest or self.looked >= MAX_CLAIM or len(preferred) >= MAX_PREFERENCE:
                break
            record = self._ledger.records[self._ledger.lanes.first_id(lane, tenant)]
            verdict = self._verdict(record)
            if verdict == "gone":
                self._ledger.end_by_store(record, terminals.EXPIRED, "expired")
                return None
            if verdict == "take":
                return Choice(Chosen(record, at), blocked)
            if verdict == "prefer":
                preferred.append(Chosen(record, at))
            if verdict == "full":
                blocked = blocked or record
            if verdict != "skip":
                latest = min(latest, at + record.size / record.weight)
        return Choice(preferred[0] if preferred else None, blocked)

    def _tenants(self, kind: int, count: int) -> list[tuple[float, str, Lane]]:
        lanes = self._ledger.lanes
        first = lanes.oldest_tenants if kind == SUSPECTS else lanes.first_tenants
        found = [(*each, lane) for lane in self._able[kind] for each in first(lane, count)]
        return sorted(found, key=self._order)

    def _order(self, each: tuple[float, str, Lane]) -> tuple[float, str, int]:
        """What stands in several lanes of one tenant comes by age."""
        at, tenant, lane = each
        first = self._ledger.records[self._ledger.lanes.first_id(lane, tenant)]
        return at, tenant, first.place

    def _verdict(self, record: Record) -> str:
        known = self._verdicts.get(record.generation_id)
        if known:
            return known
        self.looked += 1
        verdict = self._judged(record)
        if verdict not in ("take", "prefer"):
            self._verdicts[record.generation_id] = verdict
        return verdict

    def _judged(self, record: Record) -> str:
        """'take', 'prefer', 'pass', 'full', 'skip' or 'gone', as in `claim.lua`."""
        room, sequences = self._claim.room, record.submission.sequences
        if record.due_ms <= self._now:
            return "gone"
        if sequences > room.sequences or record.size > room.tokens:
            return "skip"
        if sequences > self._free_sequences or record.size > self._free_tokens:
            record.skips += 1
            worker, name = self._claim.worker, record.generation_id
            return "skip" if self._reservation.is_anothers(worker, name, self._now) else "full"
        affinity = record.submission.affinity
        if not affinity:
            return "take"
        if self._is_held(record):
            record.holds += 1
            return "pass"
        is_warm = self._ledger.hints.is_warm(self._claim.worker, affinity, self._now)
        return "take" if is_warm else "prefer"

    def _is_held(self, record: Record) -> bool:
        """Whether it is left for a worker that is warm for it and about to ask."""
        left_ms = HOLD_MS - (self._now - record.place / 1000)
        if record.attempts > 0 or left_ms <= 0:
            return False
        hints = self._ledger.hints
        owner = hints.warm_waiting(record.submission.affinity, self._now)
        if owner is None or owner == self._claim.worker:
            return False
        if hints.held_by(owner) > self._claim.held + HOLD_SLACK:
            return False
        self.next_check_ms = max(1, min(self.next_check_ms, math.ceil(left_ms)))
        return True

    def _is_able(self, lane: Lane) -> bool:
        needs, offers = lane.needs, self._claim.offers
        is_ours = lane.fingerprint in ("", self._claim.fingerprint)
        return (
            (is_ours or self._ledger.hints.is_orphaned(lane.fingerprint, self._now))
            and needs.context_tokens <= offers.context_tokens
            and needs.envelope_version in offers.envelope_versions
            and needs.adapter in ("", *offers.adapters)
            and set(needs.media) <= set(offers.media)
        )
