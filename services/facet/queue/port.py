"""The queue as gateways and workers see it: a port with two adapters (`memory`, `redis`).

One request lives in one of the states WAITING, LEASED or ENDED. All times are the store's. A lease
is (epoch, nonce); whoever holds another lease than the recorded one is refused. Each log entry
carries serialized `StreamGenerateContentResponse` bytes, so readers pass them on undecoded, and
the token ids that those events account for, which are the authority for a continuation.

Costs and sizes are tokens: what a prompt takes (estimated by the gateway) and what the answer is
expected to take (the learned mean of the queue, at most what the request allows).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
class Needs:
    """What a worker must offer to run a request: the capability class that it is filed under.

    `context_tokens` is a bucket: prompt and output together are expected to fit in so many.
    `media` holds the kinds in the prompt, sorted, a letter each (`a`udio, `i`mage, `v`ideo).
    """

    envelope_version: int = 1
    context_tokens: int = 0
    media: str = ""
    adapter: str = ""


@dataclass(frozen=True)
class Offers:
    """What a worker can run; the counterpart of `Needs`."""

    envelope_versions: tuple[int, ...] = (1,)
    context_tokens: int = 1 << 20
    media: str = "aiv"
    adapters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submission:
    """One validated request to be queued.

    `deadline_ms` counts from acceptance. `retention_ms` is how long the log is kept after the end,
    at least `limits.MIN_RETENTION_MS`; a live request never lapses. `reader_grace_ms` is how long
    it lives without a reader from acceptance or the last `follow` on; None for requests that
    run without a reader (ON_DISCONNECT_CONTINUE). `request_id` (empty: none) is the tenant's
    idempotency key, and `body_digest` tells its repeat from another request under the same id.

    `prompt_tokens` is an estimate, `max_output_tokens` a bound. `weight` is the tenant's share
    relative to others. `sequences` is the number of candidates, which run side by side.
    `affinity` names what a worker may have warm (session, media, prefix), strongest first, at most
    4 names of at most 40 characters without spaces. `follower` (empty: none) is the reader that
    follows the log from the beginning, see `Reader.follow`.
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
    prompt_tokens: int = 1
    max_output_tokens: int = 1024
    weight: float = 1.0
    sequences: int = 1
    needs: Needs = Needs()
    affinity: tuple[str, ...] = ()
    follower: str = ""


@dataclass(frozen=True)
class Submitted:
    """`generation_id` is an earlier one where `request_id` repeated; then `is_new` is False.

    `remaining_ms`: until the deadline of that generation, 0 when it has passed. `origin` names the
    store's history, see `Observer.origin`.
    """

    generation_id: str
    is_new: bool
    remaining_ms: int
    origin: str


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
    `is_alone`: a suspect, the worker must hold nothing beside it. `fingerprint` is that of the
    engine that the ids came from, empty when there are none.
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
    charged_tokens: int
    fingerprint: str


@dataclass(frozen=True)
class Room:
    """What a worker has: sequences and tokens of KV cache, in all and free.

    Those of requests claimed ahead count as taken, so `free_sequences` may exceed what is free in
    the engine by the claim-ahead.
    """

    sequences: int = 1 << 16
    tokens: int = 1 << 40
    free_sequences: int = 1 << 16
    free_tokens: int = 1 << 40


@dataclass(frozen=True)
class Claim:
    """What a worker asks for: up to `limit` requests beside the `held` ones that it has.

    `held` counts every lease that the worker still has, rendered or not: at 0 it may get a suspect.
    `nonce` is new for every claim and kept for its repeats. A request with logged tokens only goes
    to the `fingerprint` that they came from, as long as a worker with it has claimed lately.
    """

    worker: str
    nonce: str
    limit: int
    held: int
    fingerprint: str
    offers: Offers = Offers()
    room: Room = Room()


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
    at `expected_offset`. `drafted_tokens` and `accepted_tokens` are those of this step. With
    `voids_ids` all ids logged before count no more: the answer starts over.
    """

    lease: Lease
    expected_offset: int
    event_count: int
    token_ids: tuple[int, ...]
    response: bytes
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    voids_ids: bool = False


@dataclass(frozen=True)
class Finish(Append):
    """The last events of a request, the terminal one at their end.

    `failure` is a serialized `facet.v1.Failure`, empty when the request succeeded. With
    `is_dead_letter` the request is kept among the dead letters. `prompt_tokens` and `output_tokens`
    are what it really took, all attempts together: the tenant's charge is corrected to them.
    """

    failure: bytes = b""
    is_dead_letter: bool = False
    prompt_tokens: int = 0
    output_tokens: int = 0


class Verdict(Enum):
    """Answer to an append, a finish or a heartbeat."""

    OK = "ok"
    # Written, or renewed.
    LEASE_LOST = "lease_lost"
    # Cancelled, expired, reaped or ended: stop working on it.
    WRONG_OFFSET = "wrong_offset"
    # Nothing was written: `next_offset` tells where the log stands.
    REWOUND = "rewound"
    # The store lost the claim or the request itself (a failover to a replica that was behind):
    # go on working, keep events; a heartbeat takes the lease back as soon as the request is there.


@dataclass(frozen=True)
class WriteResult:
    """Answer to one write; `next_offset` is valid for OK and WRONG_OFFSET."""

    verdict: Verdict
    next_offset: int


@dataclass(frozen=True)
class LogEntry:
    """One stored batch of events; `failure` as in `Finish`."""

    first_offset: int
    event_count: int
    response: bytes
    is_terminal: bool
    failure: bytes


@dataclass(frozen=True)
class InboxEntry(LogEntry):
    """An entry of a followed log, as it arrives in a reader's inbox."""

    generation_id: str = ""


@dataclass(frozen=True)
class Inbox:
    """What arrived in an inbox; `cursor` is where the next `receive` goes on."""

    cursor: str
    entries: tuple[InboxEntry, ...]


@dataclass(frozen=True)
class Followed:
    """`is_known` is False when the store does not have the request; `next_offset` ends its log."""

    is_known: bool
    next_offset: int


@dataclass(frozen=True)
class Status:
    """A request's state for GetGeneration and operators.

    `worker` has it or had it last. `deaths` counts consecutive attempts that ended with their
    worker and brought no token. `requests_ahead` and `tokens_ahead` are estimates, 0 unless it
    waits; `wait_ms` is what the queue's drain rate makes of them, None when unknown.
    `remaining_ms`: until its deadline, 0 when that has passed. `ended_ms` and `expires_ms` are 0
    before the end; all other times are milliseconds since the epoch by the store's clock.
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
    tokens_ahead: int
    wait_ms: int | None
    remaining_ms: int
    ended_ms: int
    expires_ms: int
    origin: str


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
    """A request that was given up; `failure` as in `Finish`."""

    generation_id: str
    tenant: str
    dead_ms: int
    failure: bytes
    size_bytes: int


@dataclass(frozen=True)
class DeadLetters:
    """Dead letters, newest first; `next_page` is empty on the last page."""

    letters: tuple[DeadLetter, ...]
    next_page: str


@dataclass(frozen=True)
class ClassDepth:
    """What waits in one class; `oldest_ms` is the age of the oldest, 0 when nothing waits."""

    requests: int
    tokens: int
    oldest_ms: int


@dataclass(frozen=True)
class Depth:
    """A queue's state: what waits by class (suspects count in their class), and what is leased.

    `drain_tokens_per_second` is the rate at which estimated tokens leave the queue, 0 when nothing
    left it lately. `mean_output_tokens` is learned from ended requests.
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


class Producer(Protocol):
    """The gateway's side."""

    async def submit(self, submission: Submission) -> Submitted:
        """Accept a request durably. A repeat renews the presence of the generation's readers.

        A generation id that the store lost (a failover) is accepted anew. Errors:
        RequestIdReusedError; QueueFullError and QuotaExceededError with the time after which the
        queue will have drained enough; StoreFullError; StoreUnavailableError (then it may or may
        not be accepted: repeat with the same generation id).
        """

    async def cancel(self, generation_id: str, tenant: str) -> bool:
        """End a request at once, whatever its state; False when it had ended.

        Errors: GenerationNotFoundError (also for another tenant's), StoreUnavailableError.
        """

    async def status(self, generation_id: str, tenant: str) -> Status:
        """Read a request's state. Errors as for `cancel`."""

    async def list_generations(self, tenant: str, *, page: str, limit: int) -> Page:
        """A page of what the store keeps of a tenant, at most 100; `page` "" is the first.

        Errors: InvalidRequestError, StoreUnavailableError.
        """

    async def delete(self, generation_id: str, tenant: str) -> bool:
        """Forget an ended request and its log; False when it has not ended.

        Errors as for `cancel`.
        """


class Reader(Protocol):
    """Reads logs: what is there with `read`, what comes with `follow` and `receive`.

    A follower is a reader of many logs; entries of what it follows are put in its inbox as they are
    written. An inbox is bounded and may be lost with the store, so a reader checks offsets and
    reads the log itself where one is missing.
    """

    async def read(self, cursors: Mapping[str, int], *, limit: int) -> dict[str, list[LogEntry]]:
        """Entries from the given offset on, at most `limit` per request; returns at once.

        An entry that contains the offset in its middle is the first one. Requests without news are
        absent from the result, and so are unknown ones. Errors: StoreUnavailableError.
        """

    async def follow(self, follower: str, positions: Mapping[str, int]) -> dict[str, Followed]:
        """Put what is logged from now on for these requests in the follower's inbox.

        Values are the offsets that the follower's readers have got so far. Renews the presence of
        readers of these requests and keeps the inbox alive: repeat at least every lease time for
        all that is followed, so that it is done once after an outage before anybody is taken for
        gone. An empty mapping keeps the inbox alive. Errors: StoreUnavailableError.
        """

    async def unfollow(self, follower: str, generation_ids: Sequence[str]) -> None:
        """Stop putting entries of these requests in the inbox; their presence lapses by itself."""

    async def receive(self, follower: str, cursor: str, *, block_ms: int) -> Inbox:
        """What arrived after `cursor` ("0" is the oldest kept), waiting for the first of it.

        Errors: StoreUnavailableError.
        """


class Consumer(Protocol):
    """The worker's side."""

    async def claim(self, claim: Claim) -> ClaimResult:
        """Lease waiting requests.

        A repeat with the same nonce within the lease time returns those leases that still hold.
        """

    async def wait_for_work(self, worker: str, timeout_ms: int) -> None:
        """Return when a hint says that there may be work, or after the timeout, at most 1 s."""

    async def write(self, writes: Sequence[Append | Finish]) -> list[WriteResult]:
        """Append events and renew the leases, in one round trip; one result per write, in order.

        A `Finish` releases the lease with the terminal event; its repeat is answered OK. An append
        whose answer was lost is answered WRONG_OFFSET with the offset after it. At most 100 writes
        (ValueError), several for one request allowed.
        """

    async def heartbeat(
        self, worker: str, fingerprint: str, leases: Sequence[Lease]
    ) -> list[Verdict]:
        """Renew leases without writing; LEASE_LOST tells what to stop.

        A lease that the store lost is taken back when its request waits there: OK.
        """

    async def hand_back(self, leases: Sequence[Lease], *, context_tokens: int = 0) -> None:
        """Return requests to their place in the queue; the attempt does not count as a death.

        Where it brought tokens, earlier deaths are forgotten. Leases that no longer hold are
        ignored. With `context_tokens` they are filed under at least that bucket: they turned out
        to be larger than estimated.
        """

    async def report(self, worker: str, report: bytes) -> bool:
        """Publish a serialized `WorkerReport`; it lapses unless renewed every few seconds.

        Returns whether an operator asked this worker to drain.
        """

    async def retire(self, worker: str) -> None:
        """Withdraw a worker's report and what is held for it: it claims nothing more."""


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

    async def depth(self) -> Depth:
        """What waits, runs and was given up."""

    async def origin(self) -> str:
        """Name of the store's history, "" before the first submission.

        Another name than before tells of a store that lost everything. A failover that lost the
        last writes keeps the name.
        """

    async def ping(self) -> None:
        """Return when the store answers. Errors: StoreUnavailableError."""


class Operator(Protocol):
    """What the operators of a deployment may do. All raise StoreUnavailableError."""

    async def inspect(self, generation_id: str) -> Inspection:
        """One request's life, of any tenant. Errors: GenerationNotFoundError."""

    async def dead_letters(self, *, page: str, limit: int) -> DeadLetters:
        """A page of dead letters, at most 100; `page` "" is the first.

        Errors: InvalidRequestError.
        """

    async def redrive(self, generation_ids: Sequence[str]) -> int:
        """Put dead letters back on the queue, with a new log and their whole deadline.

        Returns how many; others are ignored.
        """

    async def discard(self, generation_ids: Sequence[str]) -> int:
        """Delete dead letters; returns how many."""

    async def drain_worker(self, worker: str) -> bool:
        """Ask a worker to drain, with the answer to its next report; False when none reports."""

    async def audit(self, who: str, action: str, subject: str) -> None:
        """Add to the audit log, which is only appended to and keeps the last 10,000 entries."""

    async def audits(self, *, limit: int) -> list[AuditEntry]:
        """The latest entries, newest first."""


class Queue(Producer, Reader, Consumer, Observer, Operator, Protocol):
    """All sides of one model's queue."""

    async def close(self) -> None:
        """Release connections."""
