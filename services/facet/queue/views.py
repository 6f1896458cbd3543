"""What a queue tells of its requests and of itself, to clients and to operators.

Times ending in `_ms` are milliseconds since the epoch by the store's clock, or spans of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from facet.queue.values import Needs, Priority, State


@dataclass(frozen=True)
class Status:
    """A request's state for GetGeneration and operators.

    `worker` has it or had it last. `place` orders requests by their arrival: it is that time in
    microseconds, and no two of one shard have the same. `deaths` counts consecutive attempts that
    ended with their worker and brought no token. `requests_ahead` and `tokens_ahead` are estimates,
    0 unless it waits; `wait_ms` is what the drain rate makes of them, None when unknown.
    `remaining_ms`: until its deadline, 0 when that has passed. `ended_ms` and `expires_ms` are 0
    before the end; all other times are milliseconds since the epoch by the store's clock.
    `is_fleeting`: it is to be deleted once somebody got its end, see `Submission`.
    """

    generation_id: str
    tenant: str
    state: State
    next_offset: int
    attempts: int
    deaths: int
    worker: str
    place: int
    created_ms: int
    failure: bytes
    requests_ahead: int
    tokens_ahead: int
    wait_ms: int | None
    remaining_ms: int
    ended_ms: int
    expires_ms: int
    origin: str
    is_fleeting: bool = False


@dataclass(frozen=True)
class Page:
    """A tenant's generations, newest first; `next_page` is empty on the last page."""

    generations: tuple[Status, ...]
    next_page: str


@dataclass(frozen=True)
class Step:
    """One step in a request's life: `what` happened, `detail` says with which worker or why."""

    at_ms: int
    what: str
    detail: str


@dataclass(frozen=True)
class Inspection:
    """Everything about one request but its content.

    `holds` counts claims that left it for a worker with a warm cache, `skips` those that had no
    room for it. `read_offset` is how far its readers were at their last sign of life.
    """

    status: Status
    priority: Priority
    needs: Needs
    epoch: int
    fingerprint: str
    prompt_tokens: int
    charged_tokens: int
    holds: int
    skips: int
    read_offset: int
    life: tuple[Step, ...]


@dataclass(frozen=True)
class DeadLetter:
    """A request that was given up; `failure` as in `Finish`; `place` orders them."""

    generation_id: str
    tenant: str
    dead_ms: int
    failure: bytes
    size_bytes: int
    place: int


@dataclass(frozen=True)
class DeadLetters:
    """Dead letters, newest first; `next_page` is empty on the last page."""

    letters: tuple[DeadLetter, ...]
    next_page: str


@dataclass(frozen=True)
class ClassDepth:
    """What waits in one class; `oldest_ms` is the age of the oldest, 0 when nothing waits.

    `accepted_requests` and `accepted_tokens` (as they were estimated then) count all that was ever
    accepted, redriven ones not again; they only fall with the loss of a store's data.
    """

    requests: int
    tokens: int
    oldest_ms: int
    accepted_requests: int = 0
    accepted_tokens: int = 0


@dataclass(frozen=True)
class Depth:
    """A queue's state: what waits by class (suspects count in their class), and what is leased.

    `drain_tokens_per_second` is the rate at which estimated tokens leave the queue, 0 when nothing
    left it lately. `mean_output_tokens` is that of a candidate, learned from ended requests.
    """

    classes: dict[Priority, ClassDepth]
    waiting_bytes: int
    leased: int
    dead_letters: int
    drain_tokens_per_second: float
    mean_output_tokens: int

    @property
    def waiting(self) -> int:
        """Requests that wait, all classes together."""
        return sum(each.requests for each in self.classes.values())


@dataclass(frozen=True)
class LeasedWork:
    """What workers hold: requests, tokens of output still expected of them, requests by tenant.

    Of more than `limits.MAX_BATCH` a random sample of so many is read and scaled up.
    """

    requests: int
    remaining_tokens: float
    by_tenant: Mapping[str, float]


@dataclass(frozen=True)
class ScalingRecord:
    """What the autoscaler's leader wrote last, as it stands in the store; `at_ms` 0: nothing.

    `decision` is a serialized `facet.v1.ExplainAutoscalerResponse`, `memory` what it goes on with.
    `epoch` is that of the latest leader, who need not have written yet.
    """

    now_ms: int
    at_ms: int = 0
    decision: bytes = b""
    memory: bytes = b""
    epoch: int = 0


@dataclass(frozen=True)
class AuditEntry:
    """One action of an operator; never content."""

    at_ms: int
    who: str
    action: str
    subject: str


@dataclass(frozen=True)
class SweepResult:
    """What one sweep did; `has_more` asks for another at once."""

    expired: int
    reaped: int
    abandoned: int
    dead_lettered: int
    has_more: bool


@dataclass(frozen=True)
class UsageTrim:
    """Usage records that were dropped: `lapsed` were too old, `cut` too many."""

    lapsed: int
    cut: int


@dataclass(frozen=True)
class UsageRecord:
    """What one ended generation took, written with its terminal event; never content.

    `outcome`: finished, failed, cancelled, abandoned, expired, log-full or dead-lettered.
    `queue_ms` is the time from acceptance to the first claim, `run_ms` from then to the end.
    `usage` is a serialized `facet.v1.UsageMetadata`, empty where no worker told it: then
    `prompt_tokens` is the estimate of the gateway, 0 for what never ran.
    """

    generation_id: str
    tenant: str
    outcome: str
    ended_ms: int
    queue_ms: int
    run_ms: int
    attempts: int
    prompt_tokens: int
    output_tokens: int
    usage: bytes


@dataclass(frozen=True)
class UsagePage:
    """Usage records, oldest first inside a shard; `next_page` is empty on the last page."""

    records: tuple[UsageRecord, ...]
    next_page: str
