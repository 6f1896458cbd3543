"""The queue as gateways and workers see it: a port with two adapters (`memory`, `redis`).

One request lives in one of the states WAITING, LEASED or ENDED. All times are the store's. A lease
is (epoch, nonce); whoever holds another lease than the recorded one is refused. Each log entry
carries serialized `StreamGenerateContentResponse` bytes, so readers pass them on undecoded, and
the token ids that those events account for, which are the authority for a continuation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Protocol


class Priority(IntEnum):
    """Queue class; smaller is served first. Values equal `facet.v1.Priority`."""

    INTERACTIVE = 1
    STANDARD = 2
    BATCH = 3


class State(Enum):
    """Where a request stands."""

    WAITING = "waiting"
    LEASED = "leased"
    ENDED = "ended"


@dataclass(frozen=True)
class Submission:
    """One validated request to be queued.

    `deadline_ms` counts from acceptance. `retention_ms` is how long the log is kept after the end,
    at least `limits.MIN_RETENTION_MS`; a live request never lapses. `reader_grace_ms` is how long
    it lives without a reader from acceptance or the last `touch_readers` on; None for requests that
    run without a reader (ON_DISCONNECT_CONTINUE). `request_id` (empty: none) is the tenant's
    idempotency key, and `body_digest` tells its repeat from another request under the same id.
    """

    generation_id: str
    tenant: str
    envelope: bytes
    priority: Priority
    deadline_ms: int
    retention_ms: int
    reader_grace_ms: int | None
    request_id: str = ""
    body_digest: bytes = b""


@dataclass(frozen=True)
class Submitted:
    """`generation_id` is an earlier one where `request_id` repeated; then `is_new` is False.

    `remaining_ms`: until the deadline of that generation, 0 when it has passed.
    """

    generation_id: str
    is_new: bool
    remaining_ms: int


@dataclass(frozen=True)
class Lease:
    """The right to write one request's log."""

    generation_id: str
    epoch: int
    nonce: str


@dataclass(frozen=True)
class Claimed:
    """A leased request with what earlier attempts left.

    `attempt` counts from 1. `token_ids` are all ids logged so far; `next_offset` is the offset that
    the first append has to expect. `waited_ms` counts from acceptance, earlier attempts included.
    `is_alone`: a suspect, the worker must hold nothing beside it.
    """

    lease: Lease
    envelope: bytes
    attempt: int
    waited_ms: int
    remaining_ms: int
    next_offset: int
    token_ids: tuple[int, ...]
    drafted_tokens: int
    accepted_tokens: int
    is_alone: bool


@dataclass(frozen=True)
class Claim:
    """What a worker asks for: up to `limit` requests beside the `held` ones that it has.

    `held` counts every lease that the worker still has, rendered or not: at 0 it may get a suspect.
    `nonce` is new for every claim and kept for its repeats. A request with logged tokens only goes
    to the `fingerprint` that they came from.
    """

    worker: str
    nonce: str
    limit: int
    held: int
    fingerprint: str


@dataclass(frozen=True)
class ClaimResult:
    """Claimed requests; `next_check_ms` bounds how long the worker may wait for a hint.

    Without `may_take_hints` the worker gets nothing before its runs end: it asks again after
    `next_check_ms` and leaves the hints to workers that may take the work.
    """

    claimed: tuple[Claimed, ...]
    next_check_ms: int
    may_take_hints: bool = True


@dataclass(frozen=True)
class Append:
    """Events of one engine step of one request.

    `response` is a serialized `StreamGenerateContentResponse` with `event_count` events, the first
    at `expected_offset`. `drafted_tokens` and `accepted_tokens` are those of this step.
    """

    lease: Lease
    expected_offset: int
    event_count: int
    token_ids: tuple[int, ...]
    response: bytes
    drafted_tokens: int = 0
    accepted_tokens: int = 0


@dataclass(frozen=True)
class Finish(Append):
    """The last events of a request, the terminal one at their end.

    `failure` is a serialized `facet.v1.Failure`, empty when the request succeeded. With
    `is_dead_letter` the request is kept among the dead letters.
    """

    failure: bytes = b""
    is_dead_letter: bool = False


class Verdict(Enum):
    """Answer to an append, a finish or a heartbeat."""

    OK = "ok"
    # Written, or renewed.
    LEASE_LOST = "lease_lost"
    # Cancelled, expired, reaped, ended or unknown: stop working on it.
    WRONG_OFFSET = "wrong_offset"
    # Nothing was written: `next_offset` tells where the log stands.


@dataclass(frozen=True)
class WriteResult:
    """Answer to one write; `next_offset` is valid for OK and WRONG_OFFSET."""

    verdict: Verdict
    next_offset: int


@dataclass(frozen=True)
class LogEntry:
    """One stored batch of events.

    `cursor` is the store's position of the entry, opaque to readers. `failure` as in `Finish`.
    """

    cursor: str
    first_offset: int
    event_count: int
    response: bytes
    is_terminal: bool
    failure: bytes


@dataclass(frozen=True)
class Status:
    """A request's state for GetGeneration and operators.

    `worker` has it or had it last. `deaths` counts consecutive attempts that ended with their
    worker and brought no token. `requests_ahead` is an estimate, 0 unless it waits. `remaining_ms`:
    until its deadline, 0 when that has passed.
    """

    generation_id: str
    tenant: str
    state: State
    next_offset: int
    attempts: int
    deaths: int
    worker: str
    created_ms: int
    failure: bytes
    requests_ahead: int
    remaining_ms: int


@dataclass(frozen=True)
class SweepResult:
    """What one sweep did; `has_more` asks for another at once."""

    expired: int
    reaped: int
    abandoned: int
    dead_lettered: int
    has_more: bool


class Producer(Protocol):
    """The gateway's side."""

    async def submit(self, submission: Submission) -> Submitted:
        """Accept a request durably. A repeat renews the presence of the generation's readers.

        Errors: RequestIdReusedError, QueueFullError, StoreFullError, StoreUnavailableError (then it
        may or may not be accepted: repeat with the same generation id).
        """

    async def cancel(self, generation_id: str, tenant: str) -> bool:
        """End a request at once, whatever its state; False when it had ended.

        Errors: GenerationNotFoundError (also for another tenant's), StoreUnavailableError.
        """

    async def status(self, generation_id: str, tenant: str) -> Status:
        """Read a request's state. Errors as for `cancel`."""

    async def touch_readers(self, generation_ids: Sequence[str]) -> None:
        """Renew the presence of readers of these requests; unknown and ended ids are ignored.

        Readers renew at least every lease time, so that they do so once after an outage before
        anybody is taken for gone.
        """


class Reader(Protocol):
    """Reads logs. One call may wait for many requests."""

    async def read(
        self, cursors: dict[str, str], *, block_ms: int, limit: int
    ) -> dict[str, list[LogEntry]]:
        """New entries after each cursor ("0" is the beginning), at most `limit` per request.

        Waits up to `block_ms` for the first one; `interrupt` ends the wait. Requests without news
        are absent from the result, and so are unknown ones: their log may appear later.
        Errors: StoreUnavailableError.
        """

    async def interrupt(self) -> None:
        """End the wait of a `read` under way, so that it can be repeated with other cursors.

        Without one, the next `read` does not wait. Raises nothing.
        """


class Consumer(Protocol):
    """The worker's side."""

    async def claim(self, claim: Claim) -> ClaimResult:
        """Lease waiting requests.

        A repeat with the same nonce within the lease time returns those leases that still hold.
        """

    async def wait_for_work(self, timeout_ms: int) -> None:
        """Return when a hint says that there may be work, or after the timeout, at most 1 s."""

    async def write(self, writes: Sequence[Append | Finish]) -> list[WriteResult]:
        """Append events and renew the leases, in one round trip; one result per write, in order.

        A `Finish` releases the lease with the terminal event; its repeat is answered OK. An append
        whose answer was lost is answered WRONG_OFFSET with the offset after it. At most 100 writes
        (ValueError), several for one request allowed.
        """

    async def heartbeat(self, leases: Sequence[Lease]) -> list[Verdict]:
        """Renew leases without writing; LEASE_LOST tells what to stop."""

    async def hand_back(self, leases: Sequence[Lease]) -> None:
        """Return requests to their place in the queue; the attempt does not count as a death.

        Where it brought tokens, earlier deaths are forgotten.
        Leases that no longer hold are ignored.
        """

    async def report(self, worker: str, report: bytes) -> None:
        """Publish a serialized `WorkerReport`; it lapses unless renewed every few seconds."""


class Observer(Protocol):
    """What anybody may ask of a queue."""

    async def sweep(self) -> SweepResult:
        """End what is overdue or abandoned by its readers; requeue what lost its worker.

        A request whose lease nobody renewed since an outage of the store is requeued without a
        death. Bounded: `has_more` asks for another call at once. Otherwise a call within 250 ms of
        the last one, whoever made it, does nothing.
        """

    async def reports(self) -> list[bytes]:
        """The live workers' reports."""

    async def depth(self) -> int:
        """Requests that wait."""

    async def ping(self) -> None:
        """Return when the store answers. Errors: StoreUnavailableError."""


class Queue(Producer, Reader, Consumer, Observer, Protocol):
    """All sides of one model's queue."""

    async def close(self) -> None:
        """Release connections."""
