"""The queue of the simulation: the in-memory twin's own books and claims, without logs and readers.

What the twin does at a submission, an end, a hand-back and a lost worker is reduced to what orders
and sizes the requests; `tests/unit/simulator/test_queueing.py` proves that both give the same
requests to the same workers. Nothing is kept of a request that ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from facet.queue.limits import SUSPECT_DEATHS, QueueLimits
from facet.queue.memory_claims import MemoryClaims
from facet.queue.memory_ledger import Ledger
from facet.queue.memory_record import Record
from facet.queue.values import Claim, ClaimResult, Needs, Priority, State, Submission
from facet.simulator.request import Request

TENANT = "simulated"
FINGERPRINT = "simulated"
_PATIENCE_MS = 1 << 40
"""Clients wait for ever: what a policy serves late is a miss, and is served all the same."""
_NO_MEDIA = Needs()


class SimulatedQueue:
    """Waiting and leased requests. `clock_seconds` is the simulation's time."""

    def __init__(self, clock_seconds: Callable[[], float]) -> None:
        self._clock_seconds = clock_seconds
        self._ledger = Ledger(QueueLimits(), lambda: int(clock_seconds() * 1000))
        self._claims = MemoryClaims(self._ledger)
        self._requests: dict[str, Request] = {}
        self._given = 0

    @property
    def has_waiting(self) -> bool:
        """Whether any request waits."""
        return bool(self._ledger.lanes.lanes)

    def waiting(self, priority: Priority) -> tuple[int, int]:
        """Requests of a class that wait, and the tokens that they are expected to take."""
        load = self._ledger.lanes.loads[priority]
        return load.requests, load.tokens

    def oldest_seconds(self, priority: Priority) -> float:
        """Age of the oldest that waits in a class, 0 when none does."""
        lanes = self._ledger.lanes
        places = [lanes.oldest_place(each) for each in lanes.lanes if each.kind == priority]
        oldest = min((place for place in places if place is not None), default=None)
        return 0.0 if oldest is None else max(0.0, self._clock_seconds() - oldest / 1e6)

    @property
    def mean_output_tokens(self) -> float:
        """Learned length of an answer."""
        return self._ledger.pace.mean_output

    def submit(self, request: Request) -> None:
        """Put a request where it waits."""
        self._given += 1
        name = request.name = str(self._given)
        submission = Submission(
            generation_id=name,
            tenant=TENANT,
            envelope=b"",
            priority=request.priority,
            deadline_ms=_PATIENCE_MS,
            retention_ms=0,
            reader_grace_ms=None,
            prompt_tokens=request.prompt_tokens,
            max_output_tokens=request.max_output_tokens,
            needs=Needs(media=request.media) if request.media else _NO_MEDIA,
        )
        ledger = self._ledger
        place = ledger.arrive()
        each = min(ledger.pace.mean_output, request.max_output_tokens)
        record = Record(
            submission=submission,
            place=place,
            due_ms=place // 1000 + _PATIENCE_MS,
            size=math.ceil(request.prompt_tokens + each),
            weight=1.0,
            needs=submission.needs,
            media_lapse_ms=0,
            grace_ms=None,
            followers=[],
        )
        ledger.records[name] = record
        self._requests[name] = request
        ledger.lanes.enter(record)

    def claim(self, claim: Claim) -> tuple[list[Request], ClaimResult]:
        """What the worker gets; each request's `charged_tokens` and `is_alone` are set."""
        result = self._claims.claim(claim)
        taken = []
        for claimed in result.claimed:
            name = claimed.lease.generation_id
            request = self._requests[name]
            request.charged_tokens, request.is_alone = claimed.charged_tokens, claimed.is_alone
            request.claimed_tokens = request.given_tokens
            self._ledger.records[name].life.clear()
            taken.append(request)
        return taken, result

    def finish(self, request: Request) -> None:
        """End a leased request that gave all of its tokens."""
        ledger = self._ledger
        record = ledger.records.pop(request.name)
        del self._requests[request.name]
        ledger.release(record)
        ledger.lanes.correct(record, request.prompt_tokens + request.output_tokens)
        ledger.pace.learn_output(request.output_tokens)

    def hand_back(self, request: Request) -> None:
        """Take a request from its worker, which stops in good order; what it gave is kept."""
        record = self._ledger.records[request.name]
        if _has_progress(request):
            record.deaths = 0
        else:
            record.attempts -= 1
        self._requeue(record, request)

    def lose(self, request: Request) -> None:
        """Take a request from a worker that died; its lease has lapsed."""
        record = self._ledger.records[request.name]
        record.deaths = 0 if _has_progress(request) else record.deaths + 1
        # One that fails alone would be a dead letter; here it is never the request's own fault.
        record.deaths = min(record.deaths, SUSPECT_DEATHS)
        self._requeue(record, request)

    def forget_worker(self, worker: str) -> None:
        """Nothing is held for a worker that is gone."""
        self._ledger.hints.forget(worker)

    def _requeue(self, record: Record, request: Request) -> None:
        if request.given_tokens:
            record.fingerprint = record.claim_fingerprint
        self._ledger.release(record)
        record.state = State.WAITING
        self._ledger.lanes.enter(record)


def _has_progress(request: Request) -> bool:
    return request.given_tokens > request.claimed_tokens
