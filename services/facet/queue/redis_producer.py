"""The gateway's side of the queue in Redis."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from facet.core.errors import FacetError
from facet.queue import terminals
from facet.queue.admission import Admission
from facet.queue.answers import (
    check_page,
    not_found,
    not_replicated,
    queue_full,
    quota_exceeded,
    request_id_reused,
    store_full,
)
from facet.queue.codec import needs_text, status_of, weight_text
from facet.queue.connection import RedisConnection
from facet.queue.generation_id import new_generation_id
from facet.queue.keys import Keys, idempotency_name
from facet.queue.limits import MAX_BATCH, QueueLimits
from facet.queue.lua import load_scripts
from facet.queue.redis_side import RedisSide
from facet.queue.values import Quota, Submission, Submitted
from facet.queue.views import Page, Status

_NEW, _EARLIER, _REUSED, _FULL, _QUOTA, _STORE_FULL, _NOT_KNOWN, _DELETED = range(8)
_UNKNOWN, _DONE = range(2)


class RedisProducer(RedisSide):
    """`facet.queue.port.Producer`."""

    def __init__(
        self,
        connection: RedisConnection,
        keys: Keys,
        limits: QueueLimits,
        clock: str | None = None,
    ) -> None:
        super().__init__(connection, keys, limits, load_scripts(clock) if clock else load_scripts())
        self._admission = Admission(connection.command)

    async def name_generation(
        self, tenant: str, request_id: str, *, is_limited: bool = False
    ) -> str:
        """See `Producer.name_generation`."""
        del tenant, request_id, is_limited
        return new_generation_id(self._keys.shard)

    async def submit(self, submission: Submission) -> Submitted:
        """See `Producer.submit`."""
        is_shedding = await self._admission.is_shedding()
        (code, *answer), copies = await self._offer(submission, "shed" if is_shedding else "")
        if code in (_FULL, _QUOTA, _STORE_FULL):
            raise self._refusal(submission, code, answer[0].decode(), answer[1])
        return _accepted(submission, code, answer, copies)

    async def repeat(self, submission: Submission) -> Submitted | None:
        """See `Producer.repeat`."""
        (code, *answer), copies = await self._offer(submission, "known")
        if code == _NOT_KNOWN:
            return None
        return _accepted(submission, code, answer, copies)

    async def _offer(self, submission: Submission, only: str) -> tuple[list[Any], int]:
        """The script's answer and the copies it has; `only` narrows what it accepts, see there."""
        grace_ms = submission.reader_grace_ms
        request_id, limits = submission.request_id, self._limits
        quota = submission.quota or Quota()
        return await self._run_replicated(
            "submit",
            submission.generation_id,
            submission.tenant,
            submission.envelope,
            int(submission.priority),
            submission.deadline_ms,
            submission.retention_ms,
            "" if grace_ms is None else grace_ms,
            idempotency_name(submission.tenant, request_id) if request_id else "",
            submission.body_digest,
            submission.prompt_tokens,
            submission.max_output_tokens,
            weight_text(submission.weight),
            submission.sequences,
            needs_text(submission.needs),
            " ".join(submission.affinity),
            submission.follower,
            secrets.token_hex(8),
            only,
            limits.max_waiting,
            limits.max_waiting_tokens,
            limits.max_waiting_bytes,
            limits.tenant_max_waiting,
            limits.tenant_max_waiting_tokens,
            limits.tenant_max_waiting_bytes,
            submission.replicas,
            quota.requests_per_minute,
            quota.tokens_per_minute,
            quota.max_concurrent,
            " ".join(submission.media_keys),
            int(submission.has_bound_retention),
            replicas=submission.replicas,
            out_of_memory=store_full,
        )

    async def cancel(self, generation_id: str, tenant: str) -> bool:
        """See `Producer.cancel`."""
        code = await self._run("cancel", generation_id, tenant, *terminals.CANCELLED.blobs())
        if code == _UNKNOWN:
            raise not_found(generation_id)
        return bool(code == _DONE)

    async def status(self, generation_id: str, tenant: str) -> Status:
        """See `Producer.status`."""
        reply = await self._run("status", generation_id, tenant)
        if not reply:
            raise not_found(generation_id)
        return status_of(generation_id, reply)

    async def list_generations(self, tenant: str, *, page: str, limit: int) -> Page:
        """See `Producer.list_generations`."""
        check_page(page)
        last, *found = await self._run(
            "list", tenant, f"({page}" if page else "+inf", min(limit, MAX_BATCH)
        )
        return Page(
            tuple(status_of(name.decode(), status) for name, status in found), last.decode()
        )

    async def delete(self, generation_id: str, tenant: str) -> bool:
        """See `Producer.delete`."""
        code = await self._run("delete", generation_id, tenant)
        if code == _UNKNOWN:
            raise not_found(generation_id)
        return bool(code == _DONE)

    async def delivered(self, generation_id: str, tenant: str, follower: str) -> bool:
        """See `Producer.delivered`."""
        return bool(await self._run("delivered", generation_id, tenant, follower))

    async def media_keys(self, generation_id: str, tenant: str) -> tuple[str, ...]:
        """See `Producer.media_keys`."""
        return tuple((await self._run("media_keys", generation_id, tenant)).decode().split())

    def _refusal(self, submission: Submission, code: int, bound: str, retry_ms: int) -> FacetError:
        if code == _STORE_FULL:
            return store_full()
        limits = self._limits
        if code == _FULL:
            most = {
                "requests": limits.max_waiting,
                "tokens": limits.max_waiting_tokens,
                "bytes": limits.max_waiting_bytes,
            }
            return queue_full(bound, most[bound], retry_ms)
        most = {
            "requests": limits.tenant_max_waiting,
            "tokens": limits.tenant_max_waiting_tokens,
            "bytes": limits.tenant_max_waiting_bytes,
            **vars(submission.quota or Quota()),
        }
        return quota_exceeded(bound, most[bound], retry_ms)


def _accepted(submission: Submission, code: int, answer: Sequence[Any], copies: int) -> Submitted:
    if code == _DELETED:
        raise not_found(submission.generation_id)
    if code == _REUSED:
        raise request_id_reused(answer[0].decode())
    generation_id, remaining_ms, origin = answer
    if copies < submission.replicas:
        raise not_replicated(generation_id.decode(), copies)
    return Submitted(generation_id.decode(), code == _NEW, remaining_ms, origin.decode())
