"""The in-memory twin's books: what the scripts' prelude does in Redis, in plain Python."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field

from facet.queue.codec import cursor_after
from facet.queue.limits import (
    MAX_DEAD_LETTERS,
    MAX_HINTS,
    MIN_RETENTION_MS,
    SUSPECT_DEATHS,
    QueueLimits,
)
from facet.queue.port import Append, Claimed, Finish, Lease, LogEntry, State, Submission
from facet.queue.terminals import Terminal, terminal_response


@dataclass
class Record:
    """One request. `life_ends_ms` is set at the end, after which it is forgotten."""

    submission: Submission
    born_ms: int
    due_ms: int
    score: int
    state: State = State.WAITING
    lane: str = ""
    lease: Lease | None = None
    worker: str = ""
    is_alone: bool = False
    claim_fingerprint: str = ""
    claim_offset: int = 0
    claim_token_count: int = 0
    fingerprint: str = ""
    finisher: Lease | None = None
    token_ids: list[int] = field(default_factory=list)
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    attempts: int = 0
    deaths: int = 0
    log: list[LogEntry] = field(default_factory=list)
    next_offset: int = 0
    life_ends_ms: int | None = None

    def holds(self, lease: Lease) -> bool:
        """Whether this lease may write."""
        return self.state is State.LEASED and self.lease == lease

    def kind(self) -> str:
        """The lane where it waits; see `lane_of` in the scripts' prelude."""
        kind = "suspects" if self.deaths >= SUSPECT_DEATHS else "ready"
        return f"{kind}:{self.fingerprint}" if self.fingerprint else kind


class Ledger:
    """Records and the indexes over them. `clock_ms` is the store's time."""

    def __init__(self, limits: QueueLimits, clock_ms: Callable[[], int]) -> None:
        self.limits = limits
        self.clock_ms = clock_ms
        self.lanes: dict[str, list[tuple[int, str]]] = {}
        self.leases: dict[str, int] = {}
        self.deadlines: dict[str, int] = {}
        self.readers: dict[str, int] = {}
        self.alone: dict[str, str] = {}
        self.dead: dict[str, int] = {}
        self.hints = 0
        self._records: dict[str, Record] = {}

    def remaining_ms(self, record: Record) -> int:
        """Until the request's deadline."""
        return max(record.due_ms - self.clock_ms(), 0)

    def touch_reader(self, record: Record) -> None:
        """Renew the presence of readers of a request that lives and ends without them."""
        grace_ms = record.submission.reader_grace_ms
        if record.state is not State.ENDED and grace_ms is not None:
            self.readers[record.submission.generation_id] = self.clock_ms() + grace_ms

    def find(self, generation_id: str) -> Record | None:
        """The record, unless its retention has passed."""
        record = self._records.get(generation_id)
        if record is None or record.life_ends_ms is None or self.clock_ms() < record.life_ends_ms:
            return record
        del self._records[generation_id]
        return None

    def add(self, record: Record) -> None:
        """Take in a new request."""
        submission = record.submission
        self._records[submission.generation_id] = record
        self.deadlines[submission.generation_id] = record.due_ms
        if submission.reader_grace_ms is not None:
            lapse = record.born_ms + submission.reader_grace_ms
            self.readers[submission.generation_id] = lapse
        self.enter_lane(record)

    def waiting(self) -> int:
        """Requests in all lanes."""
        return sum(len(lane) for lane in self.lanes.values())

    def post_hint(self) -> None:
        """Say that there may be work."""
        self.hints = min(self.hints + 1, MAX_HINTS)

    def enter_lane(self, record: Record) -> None:
        """Put a request where it waits, at its place."""
        record.state, record.lane = State.WAITING, record.kind()
        place = (record.score, record.submission.generation_id)
        bisect.insort(self.lanes.setdefault(record.lane, []), place)
        self.post_hint()

    def leave_lane(self, record: Record) -> None:
        """Take a request out of its lane."""
        lane = self.lanes[record.lane]
        lane.remove((record.score, record.submission.generation_id))
        if not lane:
            del self.lanes[record.lane]

    def first(self, kind: str, fingerprint: str) -> Record | None:
        """The longest waiting request of a kind that an engine of this fingerprint may take."""
        heads = [
            lane[0]
            for lane in (self.lanes.get(kind), self.lanes.get(f"{kind}:{fingerprint}"))
            if lane
        ]
        return self.find(min(heads)[1]) if heads else None

    def lease(self, record: Record, lease: Lease, worker: str, fingerprint: str) -> None:
        """Give a waiting request to a worker."""
        self.leave_lane(record)
        record.state, record.lease, record.worker = State.LEASED, lease, worker
        record.attempts += 1
        record.claim_fingerprint = fingerprint
        record.claim_offset = record.next_offset
        record.claim_token_count = len(record.token_ids)
        self.renew(lease.generation_id)

    def renew(self, generation_id: str) -> None:
        """Let a lease last from now on."""
        self.leases[generation_id] = self.clock_ms() + self.limits.lease_ms

    def release(self, record: Record) -> None:
        """Take a request from its worker."""
        self.leases.pop(record.submission.generation_id, None)
        if record.is_alone:
            self.alone.pop(record.worker, None)
        record.is_alone = False

    def requeue(self, record: Record) -> None:
        """Take a request from its worker and put it back in its place."""
        self.release(record)
        self.enter_lane(record)

    def describe(self, record: Record) -> Claimed:
        """A leased request as its worker gets it."""
        if record.lease is None:
            raise ValueError("not leased")
        now = self.clock_ms()
        return Claimed(
            lease=record.lease,
            envelope=record.submission.envelope,
            attempt=record.attempts,
            waited_ms=now - record.born_ms,
            remaining_ms=self.remaining_ms(record),
            next_offset=record.next_offset,
            token_ids=tuple(record.token_ids),
            drafted_tokens=record.drafted_tokens,
            accepted_tokens=record.accepted_tokens,
            is_alone=record.is_alone,
        )

    def write(self, record: Record, write: Append) -> None:
        """Log events; a finish ends the request."""
        if write.token_ids and not record.fingerprint:
            record.fingerprint = record.claim_fingerprint
        record.token_ids += write.token_ids
        record.drafted_tokens += write.drafted_tokens
        record.accepted_tokens += write.accepted_tokens
        if isinstance(write, Finish):
            record.finisher = write.lease
            self._end(record, write.response, write.event_count, write.failure)
            if write.is_dead_letter:
                self._bury(record)
        else:
            self._log(record, write.response, write.event_count)
            self.renew(write.lease.generation_id)

    def end_by_store(self, record: Record, terminal: Terminal, *, is_dead: bool = False) -> None:
        """End a request in any state with a terminal event of the store's own."""
        ending = terminal.running if record.attempts else terminal.waiting
        response = terminal_response(record.next_offset, len(record.token_ids), ending)
        self._end(record, response, 1, ending.failure)
        if is_dead:
            self._bury(record)

    def _log(
        self, record: Record, response: bytes, count: int, failure: bytes | None = None
    ) -> None:
        entry = LogEntry(
            cursor=cursor_after(record.next_offset),
            first_offset=record.next_offset,
            event_count=count,
            response=response,
            is_terminal=failure is not None,
            failure=failure or b"",
        )
        record.log.append(entry)
        record.next_offset += count

    def _end(self, record: Record, response: bytes, count: int, failure: bytes) -> None:
        self._log(record, response, count, failure)
        if record.state is State.WAITING:
            self.leave_lane(record)
        else:
            self.release(record)
        generation_id = record.submission.generation_id
        self.deadlines.pop(generation_id, None)
        self.readers.pop(generation_id, None)
        record.state = State.ENDED
        life = max(record.submission.retention_ms, MIN_RETENTION_MS)
        record.life_ends_ms = self.clock_ms() + life

    def _bury(self, record: Record) -> None:
        now = self.clock_ms()
        life = max(record.submission.retention_ms, MIN_RETENTION_MS, self.limits.dead_letter_ms)
        record.life_ends_ms = now + life
        self.dead[record.submission.generation_id] = now
        while len(self.dead) > MAX_DEAD_LETTERS:
            self.dead.pop(next(iter(self.dead)))
