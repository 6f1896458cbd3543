"""The in-memory twin's books: what the scripts' prelude does in Redis, in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from facet.queue.limits import (
    GONE_MS,
    MAX_BATCH,
    MAX_DEAD_BYTES,
    MAX_DEAD_LETTERS,
    MIN_RETENTION_MS,
    QueueLimits,
)
from facet.queue.memory_accounts import Accounts
from facet.queue.memory_hints import Hints
from facet.queue.memory_inbox import Inboxes
from facet.queue.memory_lanes import Lanes
from facet.queue.memory_pace import Pace
from facet.queue.memory_record import Record
from facet.queue.terminals import Terminal, terminal_response
from facet.queue.values import LogEntry, Priority, State
from facet.queue.views import Status, Step, UsageRecord


@dataclass(frozen=True)
class End:
    """A terminal entry and what goes with it; `took` are tokens, None when unknown.

    `usage` as in `Finish`, with the tokens of prompt and answer.
    """

    response: bytes
    event_count: int
    failure: bytes
    why: str
    took: int | None = None
    is_dead_letter: bool = False
    usage: bytes = b""
    prompt_tokens: int = 0
    output_tokens: int = 0


class Ledger:
    """Records and the indexes over them. `clock_ms` is the store's time."""

    def __init__(self, limits: QueueLimits, clock_ms: Callable[[], int], shard: int = 0) -> None:
        self.limits = limits
        self.clock_ms = clock_ms
        self.shard = shard
        self.origin = ""
        self.records: dict[str, Record] = {}
        self._gone_until: dict[str, int] = {}
        self.by_request_id: dict[str, str] = {}
        self.lanes = Lanes()
        self.pace = Pace()
        self.accounts = Accounts()
        self.hints = Hints()
        self.inboxes = Inboxes()
        self.leases: dict[str, int] = {}
        self.timers: dict[str, int] = {}
        self.expiring: dict[str, int] = {}
        self.dead: dict[str, int] = {}
        self.alone: dict[str, str] = {}
        self.accepted: dict[Priority, tuple[int, int]] = {}
        self.idle_arrivals = 0
        self._arrived_at = 0
        self._arrivals = 0

    def erase(self, record: Record) -> None:
        """Forget what a worker or a gateway may still speak of: it was not lost."""
        self.forget(record)
        self._gone_until[record.generation_id] = self.clock_ms() + GONE_MS

    def is_gone(self, generation_id: str) -> bool:
        """Whether a request was deleted just now."""
        return self._gone_until.get(generation_id, 0) > self.clock_ms()

    def now_us(self) -> int:
        """The store's time in microseconds: those count the arrivals in one millisecond."""
        at = self.clock_ms() * 1000
        return at + self._arrivals if at == self._arrived_at else at

    def arrive(self) -> int:
        """The time of an arrival, another one than that of the last."""
        at = self.clock_ms() * 1000
        self._arrivals = self._arrivals + 1 if at == self._arrived_at else 1
        self._arrived_at = at
        return self.now_us()

    def find(self, generation_id: str) -> Record | None:
        """The record, until it is forgotten."""
        return self.records.get(generation_id)

    def remaining_ms(self, record: Record) -> int:
        """Until the request's deadline."""
        return max(record.due_ms - self.clock_ms(), 0)

    def accept(self, record: Record) -> None:
        """Count what comes; the first one on an empty queue is an arrival."""
        if not self.lanes.total().requests and not self.leases:
            self.idle_arrivals += 1
        priority = record.submission.priority
        requests, tokens = self.accepted.get(priority, (0, 0))
        self.accepted[priority] = (requests + 1, tokens + record.size)

    def note(self, record: Record, what: str, detail: str = "") -> None:
        """Add to the request's life."""
        record.life.append(Step(self.clock_ms(), what, detail))
        if len(record.life) > MAX_BATCH:
            # The first ones and the latest are kept.
            del record.life[-2]

    def set_timer(self, record: Record) -> None:
        """When a sweep has to look at it: it expires, or its readers are gone."""
        at = record.due_ms
        if record.grace_ms is not None:
            at = min(at, self.clock_ms() + record.grace_ms)
        self.timers[record.generation_id] = at

    def announce(self, record: Record) -> None:
        """Say that a fresh request waits, also to a waiting worker that is warm for it."""
        now = self.clock_ms()
        self.hints.post()
        affinity = record.submission.affinity
        worker = self.hints.warm_waiting(affinity, now) if not record.attempts else None
        if worker is not None:
            self.hints.nudge(worker, now)

    def renew(self, generation_id: str) -> None:
        """Let a lease last from this moment."""
        self.leases[generation_id] = self.clock_ms() + self.limits.lease_ms

    def release(self, record: Record) -> None:
        """Take a request from its worker."""
        self.leases.pop(record.generation_id, None)
        if record.is_alone:
            self.alone.pop(record.worker, None)
        record.is_alone = False

    def requeue(self, record: Record, why: str) -> None:
        """Take a request from its worker and put it back in its place."""
        self.release(record)
        record.state = State.WAITING
        self.lanes.enter(record)
        self.note(record, why, record.worker)
        self.hints.post()

    def log(
        self, record: Record, response: bytes, count: int, failure: bytes | None = None
    ) -> None:
        """Append an entry; with `failure`, empty for none, it is the terminal one."""
        entry = LogEntry(
            first_offset=record.next_offset,
            event_count=count,
            response=response,
            is_terminal=failure is not None,
            failure=failure or b"",
        )
        record.log.append(entry)
        record.next_offset += count
        for follower in record.followers:
            self.inboxes.put(follower, record.generation_id, entry, self.clock_ms())

    def end(self, record: Record, end: End) -> None:
        """Take the request out of everything and write the terminal entry."""
        now = self.clock_ms()
        if record.state is State.WAITING:
            self.lanes.leave(record)
        else:
            self.release(record)
        self.timers.pop(record.generation_id, None)
        submission = record.submission
        life = max(submission.retention_ms, MIN_RETENTION_MS)
        is_kept = end.is_dead_letter and not submission.is_fleeting
        if is_kept and not submission.has_bound_retention:
            life = max(life, self.limits.dead_letter_ms)
        self.log(record, end.response, end.event_count, end.failure)
        record.state = State.ENDED
        if not submission.is_fleeting:
            record.followers = []
        record.ended_ms, record.expires_ms = now, now + life
        self.accounts.put(self._usage(record, end))
        self.note(record, "ended", end.why)
        took = submission.prompt_tokens + record.token_count if end.took is None else end.took
        self.lanes.correct(record, took)
        self.accounts.settle(record, took if record.attempts else 0, now)
        if is_kept:
            self._bury(record)
        self.expiring[record.generation_id] = now + life

    def end_by_store(
        self, record: Record, terminal: Terminal, why: str, *, is_dead_letter: bool = False
    ) -> None:
        """End a request in any state with a terminal event of the store's own."""
        ending = terminal.running if record.attempts else terminal.waiting
        response = terminal_response(record.next_offset, record.token_count, ending)
        end = End(response, 1, ending.failure, why, is_dead_letter=is_dead_letter)
        self.end(record, end)

    def forget(self, record: Record) -> None:
        """Keep nothing of an ended request."""
        name = record.generation_id
        if self.by_request_id.get(record.repeatable_name) == name:
            del self.by_request_id[record.repeatable_name]
        self.records.pop(name, None)
        self.expiring.pop(name, None)
        self.dead.pop(name, None)

    def describe(self, record: Record) -> Status:
        """A request's state."""
        requests = tokens = 0
        wait_ms: int | None = 0
        if record.state is State.WAITING:
            requests, tokens = self.lanes.ahead(record)
            rate = self.pace.rate(self.clock_ms())
            wait_ms = math.floor(tokens / rate) if rate > 0 else None
        return Status(
            generation_id=record.generation_id,
            tenant=record.tenant,
            state=record.state,
            next_offset=record.next_offset,
            attempts=record.attempts,
            deaths=record.deaths,
            worker=record.worker,
            place=record.place,
            created_ms=record.place // 1000,
            failure=self.failure_of(record),
            requests_ahead=requests,
            tokens_ahead=tokens,
            wait_ms=wait_ms,
            remaining_ms=self.remaining_ms(record),
            ended_ms=record.ended_ms,
            expires_ms=record.expires_ms,
            origin=self.origin,
            is_fleeting=record.submission.is_fleeting,
        )

    def failure_of(self, record: Record) -> bytes:
        """Why it failed; empty when it did not, or has not ended."""
        return record.log[-1].failure if record.state is State.ENDED else b""

    def _usage(self, record: Record, end: End) -> UsageRecord:
        now, created_ms = self.clock_ms(), record.place // 1000
        first_ms = record.first_claim_ms
        claimed_ms = max(min(now if first_ms is None else first_ms, now), created_ms)
        prompt_tokens = record.submission.prompt_tokens if record.attempts else 0
        output_tokens = record.token_count
        if end.usage or end.took is not None:
            prompt_tokens, output_tokens = end.prompt_tokens, end.output_tokens
        return UsageRecord(
            generation_id=record.generation_id,
            tenant=record.tenant,
            outcome=end.why,
            ended_ms=now,
            queue_ms=claimed_ms - created_ms,
            run_ms=now - claimed_ms,
            attempts=record.attempts,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            usage=end.usage,
        )

    def _bury(self, record: Record) -> None:
        last = max(self.dead.values(), default=0)
        self.dead[record.generation_id] = max(self.clock_ms(), last + 1)
        while self._has_too_many_dead():
            oldest = min(self.dead, key=lambda name: self.dead[name])
            self.erase(self.records[oldest])

    def _has_too_many_dead(self) -> bool:
        size_bytes = sum(self.records[name].size_bytes for name in self.dead)
        return len(self.dead) > MAX_DEAD_LETTERS or size_bytes > MAX_DEAD_BYTES
