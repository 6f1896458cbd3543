"""What the in-memory twin keeps of one request."""

from __future__ import annotations

from dataclasses import dataclass, field

from facet.queue.codec import needs_text
from facet.queue.id_words import count_ids
from facet.queue.keys import idempotency_name
from facet.queue.limits import SUSPECT_DEATHS
from facet.queue.values import Lease, LogEntry, Needs, State, Submission
from facet.queue.views import Step

SUSPECTS = 0
"""The kind of a lane that holds suspects; the others are the values of `Priority`."""


@dataclass(frozen=True)
class Lane:
    """Requests that the same workers may take; see `lane_of` in the scripts' prelude."""

    kind: int
    needs: Needs
    fingerprint: str

    @property
    def name(self) -> str:
        """What the store calls it."""
        return f"{self.kind}|{needs_text(self.needs)}|{self.fingerprint}"


@dataclass
class Record:
    """One request. `place` is when it came, in microseconds.

    Until `media_lapse_ms` its media are known.
    """

    submission: Submission
    place: int
    due_ms: int
    media_lapse_ms: int
    size: int
    weight: float
    needs: Needs
    grace_ms: int | None
    followers: list[str]
    state: State = State.WAITING
    epoch: int = 0
    nonce: str = ""
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
    charged: int = 0
    reserved: int = 0
    holds: int = 0
    skips: int = 0
    read_offset: int = 0
    log: list[LogEntry] = field(default_factory=list)
    log_bytes: int = 0
    next_offset: int = 0
    life: list[Step] = field(default_factory=list)
    ended_ms: int = 0
    expires_ms: int = 0

    @property
    def generation_id(self) -> str:
        """Its name."""
        return self.submission.generation_id

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self.submission.tenant

    @property
    def size_bytes(self) -> int:
        """Those of its envelope."""
        return len(self.submission.envelope)

    @property
    def repeatable_name(self) -> str:
        """The tenant's name for it, "" when it gave none."""
        request_id = self.submission.request_id
        return idempotency_name(self.tenant, request_id) if request_id else ""

    @property
    def lane(self) -> Lane:
        """Where it waits, or would."""
        is_suspect = self.deaths >= SUSPECT_DEATHS
        kind = SUSPECTS if is_suspect else int(self.submission.priority)
        return Lane(kind, self.needs, self.fingerprint)

    @property
    def lease(self) -> Lease:
        """The last one."""
        return Lease(self.generation_id, self.epoch, self.nonce)

    @property
    def token_count(self) -> int:
        """Output ids logged, all candidates together."""
        return count_ids(self.token_ids)

    @property
    def has_progress(self) -> bool:
        """Whether the attempt under way logged tokens."""
        return self.token_count > self.claim_token_count

    @property
    def first_claim_ms(self) -> int | None:
        """When a worker first had it since it came, or since it was redriven."""
        redriven = (at + 1 for at, step in enumerate(self.life) if step.what == "redriven")
        since = self.life[max(redriven, default=0) :]
        return since[0].at_ms if since else None

    def is_held_by(self, lease: Lease) -> bool:
        """Whether this lease may write."""
        return self.state is State.LEASED and self.lease == lease

    def hand_out(self, lease: Lease, worker: str, fingerprint: str, *, is_alone: bool) -> None:
        """Begin an attempt."""
        self.state, self.is_alone, self.worker = State.LEASED, is_alone, worker
        self.epoch, self.nonce = lease.epoch, lease.nonce
        self.attempts += 1
        self.claim_fingerprint = fingerprint
        self.claim_offset, self.claim_token_count = self.next_offset, self.token_count

    def start_over(self, place: int, due_ms: int) -> None:
        """Wait again as if nothing had been done, and without readers to lose."""
        self.state, self.place, self.due_ms, self.grace_ms = State.WAITING, place, due_ms, None
        self.fingerprint, self.finisher = "", None
        self.attempts = self.deaths = self.charged = self.drafted_tokens = 0
        self.accepted_tokens = self.next_offset = self.ended_ms = self.expires_ms = 0
        self.log_bytes = 0
        self.log, self.token_ids = [], []
