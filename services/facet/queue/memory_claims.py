"""The in-memory twin's claims: the frame of `claim.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from facet.queue.limits import AGED_TURN, MAX_CLAIM, MAX_WAIT_MS, RESERVED_CHECK_MS
from facet.queue.memory_choice import Chooser, Chosen, Reservation
from facet.queue.memory_ledger import Ledger
from facet.queue.memory_record import SUSPECTS, Record
from facet.queue.values import Claim, Claimed, ClaimResult, Lease, Priority, State


class MemoryClaims:
    """Gives waiting requests to workers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._by_nonce: dict[str, tuple[int, list[str]]] = {}
        self._reservation = Reservation()
        self._passed = {Priority.STANDARD: 0, Priority.BATCH: 0}

    def claim(self, claim: Claim) -> ClaimResult:
        """See `Consumer.claim`."""
        now = self._ledger.clock_ms()
        lapses_ms, names = self._by_nonce.get(claim.nonce, (now, []))
        if lapses_ms > now:
            return ClaimResult(tuple(self._repeat(claim, names)), MAX_WAIT_MS)
        turn = _Turn(self._ledger, self._reservation, self._passed, claim)
        turn.run()
        if turn.taken:
            names = [record.generation_id for record in turn.taken]
            self._forget_lapsed(now)
            self._by_nonce[claim.nonce] = (now + self._ledger.limits.lease_ms, names)
        claimed = tuple(self._describe(record) for record in turn.taken)
        return ClaimResult(claimed, turn.next_check_ms, turn.may_take_hints)

    def _forget_lapsed(self, now: int) -> None:
        """Claims lapse in the order in which they were made."""
        while self._by_nonce and next(iter(self._by_nonce.values()))[0] <= now:
            del self._by_nonce[next(iter(self._by_nonce))]

    def _repeat(self, claim: Claim, names: Sequence[str]) -> list[Claimed]:
        claimed = []
        for name in names:
            record = self._ledger.find(name)
            if record and record.state is State.LEASED and record.nonce == claim.nonce:
                self._ledger.renew(name)
                claimed.append(self._describe(record))
        return claimed

    def _describe(self, record: Record) -> Claimed:
        return Claimed(
            lease=record.lease,
            envelope=record.submission.envelope,
            attempt=record.attempts,
            waited_ms=max(self._ledger.clock_ms() - record.place // 1000, 0),
            remaining_ms=self._ledger.remaining_ms(record),
            next_offset=record.next_offset,
            token_ids=tuple(record.token_ids),
            drafted_tokens=record.drafted_tokens,
            accepted_tokens=record.accepted_tokens,
            is_alone=record.is_alone,
            charged_tokens=record.charged,
            fingerprint=record.fingerprint,
            sequences=record.submission.sequences,
        )


class _Turn:
    """One claim that is no repeat."""

    def __init__(
        self,
        ledger: Ledger,
        reservation: Reservation,
        passed: dict[Priority, int],
        claim: Claim,
    ) -> None:
        self.taken: list[Record] = []
        self.may_take_hints = True
        self._ledger = ledger
        self._reservation = reservation
        self._passed = passed
        self._claim = claim
        self._limit = min(claim.limit, MAX_CLAIM)
        self._now = ledger.clock_ms()
        self._chooser = Chooser(ledger, reservation, claim)
        self._exhausted: set[Priority] = set()
        self._drained = 0

    @property
    def next_check_ms(self) -> int:
        """When the worker asks again at the latest."""
        return self._chooser.next_check_ms

    def run(self) -> None:
        """Lease what the worker gets, and leave the hints as they have to be."""
        if self._claim.worker in self._ledger.alone:
            self.may_take_hints = False
        elif self._is_emptying():
            self._empty()
            # It may have come with a hint, which is for others then.
            if not self._ledger.hints.count and any(map(self._chooser.has_lanes, Priority)):
                self._ledger.hints.post()
        else:
            self._take()
        self._settle()

    def _is_emptying(self) -> bool:
        """Whether a busy worker empties itself for a suspect."""
        if not self._claim.held or self._ledger.alone:
            return False
        choice = self._chooser.choose(SUSPECTS)
        suspect = choice.chosen.record if choice.chosen else choice.blocked
        return suspect is not None and self._reserve(suspect)

    def _take(self) -> None:
        # While one suspect runs, others wait behind ordinary work, so that they never take all
        # workers.
        is_empty = not self._claim.held
        if is_empty and not self._ledger.alone and self._take_suspect():
            return
        self._take_ready()
        if not self.taken and is_empty and self.may_take_hints:
            self._take_suspect()

    def _take_suspect(self) -> bool:
        chosen = self._chooser.choose(SUSPECTS).chosen
        if chosen:
            self._ledger.alone[self._claim.worker] = chosen.record.generation_id
            self._lease(chosen, is_alone=True)
        return chosen is not None

    def _take_ready(self) -> None:
        while len(self.taken) < self._limit and self._chooser.looked < MAX_CLAIM:
            priority, has_turn = self._next_class()
            if priority is None:
                return
            choice = self._chooser.choose(priority)
            if choice.chosen:
                self._count_turn(priority)
                self._lease(choice.chosen, is_alone=False)
                continue
            self._exhausted.add(priority)
            # What found no room gets the whole worker: it takes nothing else until it fits.
            if choice.blocked and self._reserve(choice.blocked):
                self._empty()
                return
            if choice.blocked and has_turn:
                return

    def _next_class(self) -> tuple[Priority | None, bool]:
        """Better classes first; an aged one that was passed often enough has its turn before."""
        for priority in (Priority.BATCH, Priority.STANDARD):
            if self._passed[priority] >= AGED_TURN and self._is_aged(priority):
                return priority, True
        for priority in Priority:
            if self._is_open(priority):
                return priority, False
        return None, False

    def _count_turn(self, served: Priority) -> None:
        for priority in self._passed:
            if priority is served:
                self._passed[priority] = 0
            elif priority > served and self._is_aged(priority):
                self._passed[priority] += 1

    def _is_open(self, priority: Priority) -> bool:
        return self._chooser.has_lanes(priority) and priority not in self._exhausted

    def _is_aged(self, priority: Priority) -> bool:
        return self._is_open(priority) and self._chooser.is_aged(priority)

    def _lease(self, chosen: Chosen, *, is_alone: bool) -> None:
        record, claim = chosen.record, self._claim
        if record.charged == 0:
            self._ledger.lanes.pay(record, chosen.at)
            self._drained += record.size
        self._ledger.lanes.leave(record)
        lease = Lease(record.generation_id, record.epoch + 1, claim.nonce)
        record.hand_out(lease, claim.worker, claim.fingerprint, is_alone=is_alone)
        self._ledger.renew(record.generation_id)
        self._ledger.note(record, "claimed", claim.worker)
        self._ledger.hints.remember(claim.worker, record.submission.affinity, self._now)
        self._chooser.take(record)
        self._reservation.drop(record.generation_id)
        self.taken.append(record)

    def _reserve(self, record: Record) -> bool:
        lease_ms = self._ledger.limits.lease_ms
        name = record.generation_id
        return self._reservation.take(self._claim.worker, name, self._now, lease_ms)

    def _empty(self) -> None:
        self._chooser.next_check_ms, self.may_take_hints = RESERVED_CHECK_MS, False

    def _settle(self) -> None:
        hints, claim = self._ledger.hints, self._claim
        if not self.taken and self._chooser.looked >= MAX_CLAIM:
            self._chooser.next_check_ms = 1
        if self.taken:
            if self._ledger.lanes.lanes:
                hints.post()
            if self._drained:
                self._ledger.pace.note_drained(self._drained, self._now)
        if not self._ledger.lanes.lanes:
            hints.count = 0
        count = len(self.taken)
        waits = count < self._limit and self.may_take_hints
        wait_ms = self.next_check_ms if waits else None
        hints.note_claim(claim.worker, claim.held + count, wait_ms, self._now)
        hints.see_engine(claim.fingerprint, self._now)
