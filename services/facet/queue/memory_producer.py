"""The gateway's side of the in-memory twin."""

from __future__ import annotations

import math
import secrets

from facet.queue import terminals
from facet.queue.answers import (
    check_page,
    not_found,
    queue_full,
    quota_exceeded,
    request_id_reused,
)
from facet.queue.codec import weight_text
from facet.queue.generation_id import new_generation_id
from facet.queue.keys import idempotency_name
from facet.queue.limits import FULL_RETRY_MS, MAX_BATCH, MAX_RETRY_MS, MIN_RETENTION_MS
from facet.queue.memory_lanes import Load
from facet.queue.memory_record import Record
from facet.queue.memory_side import MemorySide
from facet.queue.values import Quota, State, Submission, Submitted
from facet.queue.views import Page, Status

_MIN_RETRY_MS = 200


class MemoryProducer(MemorySide):
    """`facet.queue.port.Producer`."""

    async def name_generation(
        self, tenant: str, request_id: str, *, is_limited: bool = False
    ) -> str:
        """See `Producer.name_generation`."""
        del tenant, request_id, is_limited
        return new_generation_id(self._ledger.shard)

    async def submit(self, submission: Submission) -> Submitted:
        """See `Producer.submit`."""
        record = self._record(submission)
        if known := await self.repeat(submission):
            return known
        name = record.repeatable_name
        self._admit(record)
        quota = submission.quota
        if quota and quota.is_limited:
            self._reserve(record, quota)
        self._ledger.origin = self._ledger.origin or secrets.token_hex(8)
        self._ledger.records[submission.generation_id] = record
        if name:
            self._ledger.by_request_id[name] = submission.generation_id
        self._ledger.accept(record)
        self._ledger.lanes.enter(record)
        self._ledger.set_timer(record)
        self._ledger.announce(record)
        self._tell()
        return self._answer(record, is_new=True)

    async def repeat(self, submission: Submission) -> Submitted | None:
        """See `Producer.repeat`."""
        if known := self._ledger.find(submission.generation_id):
            return self._repeated(known, is_new=True)
        if self._ledger.is_gone(submission.generation_id):
            raise not_found(submission.generation_id)
        if not submission.request_id:
            return None
        name = idempotency_name(submission.tenant, submission.request_id)
        if first := self._ledger.find(self._ledger.by_request_id.get(name, "")):
            if first.submission.body_digest != submission.body_digest:
                raise request_id_reused(first.generation_id)
            return self._repeated(first, is_new=False)
        return None

    async def cancel(self, generation_id: str, tenant: str) -> bool:
        """See `Producer.cancel`."""
        record = self._owned(generation_id, tenant)
        if record.state is State.ENDED:
            return False
        self._ledger.end_by_store(record, terminals.CANCELLED, "cancelled")
        self._tell()
        return True

    async def status(self, generation_id: str, tenant: str) -> Status:
        """See `Producer.status`."""
        return self._ledger.describe(self._owned(generation_id, tenant))

    async def list_generations(self, tenant: str, *, page: str, limit: int) -> Page:
        """See `Producer.list_generations`."""
        check_page(page)
        before = int(page) if page else math.inf
        records = (self._ledger.find(name) for name in list(self._ledger.records))
        kept = [each for each in records if each and each.tenant == tenant and each.place < before]
        found = sorted(kept, key=lambda each: each.place, reverse=True)[: min(limit, MAX_BATCH)]
        is_last = not found or len(found) < min(limit, MAX_BATCH)
        statuses = tuple(self._ledger.describe(record) for record in found)
        return Page(statuses, "" if is_last else str(found[-1].place))

    async def delete(self, generation_id: str, tenant: str) -> bool:
        """See `Producer.delete`."""
        record = self._owned(generation_id, tenant)
        if record.state is not State.ENDED:
            return False
        self._ledger.erase(record)
        return True

    async def delivered(self, generation_id: str, tenant: str, follower: str) -> bool:
        """See `Producer.delivered`."""
        record = self._ledger.find(generation_id)
        if record is None or record.tenant != tenant or record.state is not State.ENDED:
            return False
        if not record.submission.is_fleeting:
            return False
        now, inboxes = self._ledger.clock_ms(), self._ledger.inboxes
        record.followers = [
            each for each in record.followers if each != follower and inboxes.is_live(each, now)
        ]
        if record.followers:
            return False
        self._ledger.erase(record)
        return True

    async def media_keys(self, generation_id: str, tenant: str) -> tuple[str, ...]:
        """See `Producer.media_keys`."""
        record = self._ledger.find(generation_id)
        if record is None or record.tenant != tenant:
            return ()
        has_lapsed = self._ledger.clock_ms() >= record.media_lapse_ms
        return () if has_lapsed else record.submission.media_keys

    def _record(self, submission: Submission) -> Record:
        place, now = self._ledger.arrive(), self._ledger.clock_ms()
        each = min(self._ledger.pace.mean_output, submission.max_output_tokens)
        return Record(
            submission=submission,
            place=place,
            due_ms=now + submission.deadline_ms,
            media_lapse_ms=now
            + submission.deadline_ms
            + submission.retention_ms
            + MIN_RETENTION_MS,
            size=math.ceil(submission.prompt_tokens + submission.sequences * each),
            weight=float(weight_text(submission.weight)),
            needs=submission.needs,
            grace_ms=submission.reader_grace_ms,
            followers=[submission.follower] if submission.follower else [],
        )

    def _repeated(self, record: Record, *, is_new: bool) -> Submitted:
        if record.state is not State.ENDED:
            self._ledger.set_timer(record)
        return self._answer(record, is_new=is_new)

    def _answer(self, record: Record, *, is_new: bool) -> Submitted:
        remaining_ms = self._ledger.remaining_ms(record)
        return Submitted(record.generation_id, is_new, remaining_ms, self._ledger.origin)

    def _admit(self, record: Record) -> None:
        limits, lanes = self._ledger.limits, self._ledger.lanes
        bounds = (limits.max_waiting, limits.max_waiting_tokens, limits.max_waiting_bytes)
        if reached := _reached(lanes.total(), record, bounds):
            bound, most, excess = reached
            raise queue_full(bound, most, self._retry_ms(record, excess))
        bounds = (
            limits.tenant_max_waiting,
            limits.tenant_max_waiting_tokens,
            limits.tenant_max_waiting_bytes,
        )
        if reached := _reached(lanes.tenant_loads.get(record.tenant, Load()), record, bounds):
            bound, most, excess = reached
            raise quota_exceeded(bound, most, self._retry_ms(record, excess))

    def _reserve(self, record: Record, quota: Quota) -> None:
        accounts, now = self._ledger.accounts, self._ledger.clock_ms()
        if refusal := accounts.refusal(record, quota, now):
            wait_ms = refusal.wait_ms
            if wait_ms is None:
                left_ms = accounts.first_due_ms(record.tenant) - now
                wait_ms = max(1, min(self._retry_ms(record, 0), left_ms))
            raise quota_exceeded(refusal.bound, refusal.most, wait_ms)
        accounts.reserve(record, quota, now)

    def _retry_ms(self, record: Record, excess: int) -> int:
        """How long until these tokens, and what the request itself takes, have left the queue."""
        rate = self._ledger.pace.rate(self._ledger.clock_ms())
        if rate == 0:
            return FULL_RETRY_MS
        wait_ms = min(max(excess, record.size) / rate, MAX_RETRY_MS)
        return math.floor(max(_MIN_RETRY_MS, wait_ms))


def _reached(
    load: Load, record: Record, bounds: tuple[int, int, int]
) -> tuple[str, int, int] | None:
    """Name and value of the first bound that the request would break, and excess tokens."""
    requests, tokens, size_bytes = bounds
    if load.requests + 1 > requests:
        return "requests", requests, 0
    if load.tokens + record.size > tokens:
        return "tokens", tokens, load.tokens + record.size - tokens
    if load.size_bytes + record.size_bytes > size_bytes:
        return "bytes", size_bytes, 0
    return None
