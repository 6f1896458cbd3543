"""The queue as gateways and workers see it: a port with two adapters (`memory`, `redis`).

One request lives in one of the states WAITING, LEASED or ENDED. All times are the store's. A lease
is (epoch, nonce); whoever holds another lease than the recorded one is refused. Each log entry
carries serialized `StreamGenerateContentResponse` bytes, so readers pass them on undecoded, and
the token ids that those events account for, which are the authority for a continuation (`id_words`
tells how those of several candidates stand there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from facet.queue.values import (
    Append,
    Claim,
    ClaimResult,
    Finish,
    Followed,
    Inbox,
    Lease,
    LogEntry,
    Submission,
    Submitted,
    Verdict,
    WriteResult,
)
from facet.queue.views import (
    AuditEntry,
    DeadLetters,
    Depth,
    Inspection,
    LeasedWork,
    Page,
    ScalingRecord,
    Status,
    SweepResult,
    UsagePage,
    UsageTrim,
)


class Producer(Protocol):
    """The gateway's side."""

    async def name_generation(
        self, tenant: str, request_id: str, *, is_limited: bool = False
    ) -> str:
        """A new generation id; it says in which shard the request is to be queued.

        All requests of a tenant that `is_limited` by a quota go to one shard, which counts them.
        Errors: StoreUnavailableError.
        """

    async def submit(self, submission: Submission) -> Submitted:
        """Accept a request durably. A repeat renews the presence of the generation's readers.

        A generation id that the store lost (a failover) is accepted anew. Errors:
        GenerationNotFoundError when it was deleted just now; RequestIdReusedError; QueueFullError
        and QuotaExceededError with the time after which the queue will have drained enough, or the
        quota has room; StoreFullError; StoreUnavailableError (then it may or may not be accepted:
        repeat with the same generation id).
        """

    async def repeat(self, submission: Submission) -> Submitted | None:
        """As `submit` where generation or request id are known; else None: nothing is accepted.

        Errors: GenerationNotFoundError, RequestIdReusedError, StoreUnavailableError.
        """

    async def cancel(self, generation_id: str, tenant: str) -> bool:
        """End a request at once, whatever its state; False when it had ended.

        Errors: GenerationNotFoundError (also for another tenant's), StoreUnavailableError.
        """

    async def status(self, generation_id: str, tenant: str) -> Status:
        """Read a request's state. Errors as for `cancel`."""

    async def list_generations(self, tenant: str, *, page: str, limit: int) -> Page:
        """A page of what the store keeps of a tenant, at most 100; `page` "" is the first.

        Any `Status.place` names a page too: it begins with what came before that.

        Errors: InvalidRequestError, StoreUnavailableError.
        """

    async def delete(self, generation_id: str, tenant: str) -> bool:
        """Forget an ended request and its log; False when it has not ended.

        Errors as for `cancel`.
        """

    async def delivered(self, generation_id: str, tenant: str, follower: str) -> bool:
        """Delete a fleeting generation when all who follow it have got its end.

        Tells that the readers of `follower` have. One whose inbox lapsed is not waited for. Returns
        whether it was deleted: not when it is unknown to the tenant, not fleeting or has not ended.
        """

    async def media_keys(self, generation_id: str, tenant: str) -> tuple[str, ...]:
        """What a request refers to in the media store; nothing when it is unknown to the tenant."""


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

    async def follow(
        self, follower: str, positions: Mapping[str, int], *, received: str = ""
    ) -> dict[str, Followed]:
        """Put what is logged from now on for these requests in the follower's inbox.

        Values are the offsets that the follower's readers have got so far. Renews the presence of
        readers of these requests and keeps the inbox alive: repeat at least every lease time for
        all that is followed, so that it is done once after an outage before anybody is taken for
        gone. An empty mapping keeps the inbox alive. What the inbox holds up to the cursor
        `received` is dropped, but for what stands at it while more came behind. Errors:
        StoreUnavailableError.
        """

    async def unfollow(self, follower: str, generation_ids: Sequence[str]) -> None:
        """Stop putting entries of these requests in the inbox; their presence lapses by itself."""

    async def receive(self, follower: str, cursor: str, *, block_ms: int) -> Inbox:
        """What arrived after `cursor` (OLDEST at first), waiting for the first of it.

        Errors: StoreUnavailableError.
        """


class Consumer(Protocol):
    """The worker's side."""

    async def claim(self, claim: Claim) -> ClaimResult:
        """Lease waiting requests.

        A repeat with the same nonce within the lease time returns those leases that still hold.
        """

    async def wait_for_work(self, worker: str, timeout_ms: int) -> bool:
        """Return when a hint says that there may be work, or after the timeout, at most 1 s.

        Returns whether a hint came, which is then gone.
        """

    async def pass_on_hint(self) -> None:
        """Post a hint that was taken and is not acted on, unless nothing waits any more."""

    async def write(self, writes: Sequence[Append | Finish]) -> list[WriteResult]:
        """Append events and renew the leases, in one round trip; one result per write, in order.

        A `Finish` releases the lease with the terminal event; its repeat is answered OK. An append
        whose answer was lost is answered WRONG_OFFSET with the offset after it. One that the log
        has no room for (`QueueLimits.max_log_bytes`) ends its request: LEASE_LOST. At most 100
        writes (ValueError), several for one request allowed.
        """

    async def heartbeat(
        self, worker: str, fingerprint: str, leases: Sequence[Lease]
    ) -> list[Verdict]:
        """Renew leases without writing; LEASE_LOST tells what to stop.

        A lease that the store lost is taken back when its request waits there: OK. UNANSWERED where
        a part of the store did not answer, StoreUnavailableError when none did.
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

    async def depths(self) -> dict[int, Depth]:
        """The same for each shard."""

    async def leased_work(self) -> LeasedWork:
        """What workers hold, by tenant. Errors: StoreUnavailableError."""

    async def wait_for_arrival(self, cursor: str, timeout_ms: int) -> str:
        """Return when a request comes to a queue that was empty, or after the timeout, at most 1 s.

        "" begins: it returns at once. The answer is the cursor of the next call; another one than
        `cursor` tells that one came. Errors: StoreUnavailableError.
        """

    async def takes_telling(self, who: str, life_ms: int) -> bool:
        """Whether the metrics of this queue are told by `who` for so long; nobody else does then.

        Errors: StoreUnavailableError.
        """

    async def origins(self, generation_ids: Sequence[str]) -> dict[str, str]:
        """Name of the history of that part of the store which each generation is in.

        It is "" before the first submission. Another name than before tells of a store that lost
        everything. A failover that lost the last writes keeps the name.
        """

    async def is_empty(self) -> bool:
        """Whether nothing of any request is kept."""

    async def ping(self) -> None:
        """Return when the store, or a part of it, answers. Errors: StoreUnavailableError."""


class Operator(Protocol):
    """What the operators of a deployment may do. All raise StoreUnavailableError."""

    async def scaling(self) -> ScalingRecord:
        """What the autoscaler decided last for this model."""

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

    async def usage(self, *, since_ms: int, until_ms: int, page: str, limit: int) -> UsagePage:
        """A page of the usage records of what ended from `since_ms` on and before `until_ms`.

        `page` "" is the first. Errors: InvalidRequestError.
        """

    async def trim_usage(self, life_ms: int, most: int) -> UsageTrim:
        """Drop usage records of generations that ended longer ago, and the oldest beyond `most`.

        Each shard keeps so many. Approximate: some are kept longer. Bounded: repeat while it drops
        any.
        """

    async def audit(self, who: str, action: str, subject: str) -> None:
        """Add to the audit log, which is only appended to and keeps the last 10,000 entries."""

    async def audits(self, *, limit: int) -> list[AuditEntry]:
        """The latest entries, newest first."""


class Queue(Producer, Reader, Consumer, Observer, Operator, Protocol):
    """All sides of one model's queue."""

    async def close(self) -> None:
        """Release connections."""
