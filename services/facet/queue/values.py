"""What goes into a queue and comes out: submissions, claims, leases, log entries.

Costs and sizes are tokens: what a prompt takes (estimated by the gateway) and what the answer is
expected to take (the learned mean of the queue, at most what the request allows).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import ClassVar


class Priority(IntEnum):
    """Queue class; smaller is served first. Values equal `facet.v1.Priority`."""

    INTERACTIVE = 1
    STANDARD = 2
    BATCH = 3


def class_label(priority: int) -> str:
    """The name of a class as metrics have it; the default's for what is none."""
    is_known = priority in set(Priority)
    return (Priority(priority) if is_known else Priority.STANDARD).name.lower()


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
class Quota:
    """What a tenant may use in one model's queue; 0 is no limit.

    A bucket of requests, or tokens, holds a minute's worth, fills evenly and is full at first. A
    request that exceeds a whole bucket is let in by a full one, which then stays empty the longer.
    Tokens are estimated at submission and corrected at the end. `max_concurrent` counts what waits
    and what runs; several candidates are one generation.
    """

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    max_concurrent: int = 0

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return self != Quota()


@dataclass(frozen=True)
class Submission:
    """One validated request to be queued.

    `deadline_ms` counts from acceptance. `retention_ms` is how long the log is kept after the end,
    at least `limits.MIN_RETENTION_MS`; a live request never lapses. `reader_grace_ms` is how long
    it lives without a reader from acceptance or the last `follow` on; None for requests that
    run without a reader (ON_DISCONNECT_CONTINUE). `request_id` (empty: none) is the tenant's
    idempotency key, and `body_digest` tells its repeat from another request under the same id.

    `prompt_tokens` is an estimate, `max_output_tokens` a bound for each candidate. `weight` is the
    tenant's share relative to others. `sequences` is the number of candidates, which run side by
    side.
    `affinity` names what a worker may have warm (session, media, prefix), strongest first, at most
    4 names of at most 40 characters without spaces. `follower` (empty: none) is the reader that
    follows the log from the beginning, see `Reader.follow`. `replicas`: so many replicas of the
    store must have the request before its acceptance is told.

    `quota` is the tenant's, None where a deployment limits none. `media_keys` names what it refers
    to in the media store. `has_bound_retention`: no dead letter outlives `retention_ms` either; 0
    then asks to have all deleted as soon as its end was delivered (see `Status`), and keeps it for
    `limits.MIN_RETENTION_MS` where nobody fetches it.
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
    replicas: int = 0
    quota: Quota | None = None
    media_keys: tuple[str, ...] = ()
    has_bound_retention: bool = False

    @property
    def is_fleeting(self) -> bool:
        """Whether nothing is to be kept of it once its end was delivered."""
        return self.has_bound_retention and self.retention_ms == 0


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

    `attempt` counts from 1. `token_ids` are all words logged so far, see `id_words`; `next_offset`
    is the offset that the first append has to expect. `waited_ms` counts from acceptance, earlier
    attempts included.
    `is_alone`: a suspect, the worker must hold nothing beside it. `fingerprint` is that of the
    engine that the ids came from, empty when there are none. `sequences` as in `Submission`.
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
    sequences: int


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
    at `expected_offset`. `token_ids` are words, see `id_words`. `drafted_tokens` and
    `accepted_tokens` are those of this step. With `voids_ids` all ids logged before count no more:
    the answer starts over.
    """

    share: ClassVar[int] = 1
    """How many of a batch's MAX_BATCH items it counts as, after what it costs the store."""

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
    `usage` is a serialized `facet.v1.UsageMetadata`, which the usage record keeps.
    """

    share: ClassVar[int] = 2

    failure: bytes = b""
    is_dead_letter: bool = False
    prompt_tokens: int = 0
    output_tokens: int = 0
    usage: bytes = b""


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
    UNANSWERED = "unanswered"
    # That part of the store did not answer: go on working.


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


OLDEST = "0"
"""Cursor of an inbox before all that is kept."""


@dataclass(frozen=True)
class Inbox:
    """What arrived in an inbox; `cursor` is where the next `receive` goes on.

    `has_overflown` tells that entries were dropped before they were received: `cursor` is at the
    end then, and what is missing stands in the logs.
    """

    cursor: str
    entries: tuple[InboxEntry, ...]
    has_overflown: bool = False


@dataclass(frozen=True)
class Followed:
    """`is_known` is False when the store does not have the request; `next_offset` ends its log."""

    is_known: bool
    next_offset: int
