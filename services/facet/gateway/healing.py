"""What a gateway does about requests that the store forgot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from facet.core.errors import (
    FacetError,
    QuotaExceededError,
    RequestIdReusedError,
    StoreUnavailableError,
)
from facet.gateway.subscription import Origin, Subscription
from facet.queue.port import Queue
from facet.queue.values import Submission, Submitted

LOST_SECONDS = 6.0
"""With the time between two looks it is told within 10 s."""

SUBMISSIONS_AT_ONCE = 16

_log = structlog.get_logger(__name__)


class Healing:
    """Queues requests anew that a failover lost, and tells readers of what is lost for good."""

    def __init__(self, queue: Queue, follower: str) -> None:
        self._queue = queue
        self._follower = follower
        self._missing_since: dict[str, float] = {}

    async def look_after(self, missing: Sequence[Subscription]) -> None:
        """Look after those whose requests the store does not know; all others are well.

        The gateway that accepted a request queues it again under its id, at once because workers
        wait only shortly before they claim, unless the whole store is another one or the deadline
        is over. Readers elsewhere wait for that. Errors: StoreUnavailableError.
        """
        self._missing_since = {
            peer.generation_id: self._missing_since.get(peer.generation_id, time.monotonic())
            for peer in missing
        }
        if not missing:
            return
        stores = await self._queue.origins([peer.generation_id for peer in missing])
        ours = [(each, each.origin) for each in missing if _is_healable(each, stores)]
        for start in range(0, len(ours), SUBMISSIONS_AT_ONCE):
            batch = ours[start : start + SUBMISSIONS_AT_ONCE]
            await asyncio.gather(
                *(self._queue_again(each, origin) for each, origin in batch if origin)
            )
        now = time.monotonic()
        for peer in missing:
            has_store = bool(stores[peer.generation_id])
            is_hopeless = not has_store or (peer.origin and not _is_healable(peer, stores))
            since = self._missing_since.get(peer.generation_id, now)
            if is_hopeless or now - since > LOST_SECONDS:
                peer.lose()

    async def _queue_again(self, subscription: Subscription, origin: Origin) -> None:
        try:
            await self._submit(origin)
        except FacetError as error:
            if isinstance(error, StoreUnavailableError):
                raise
            if not error.retryable:
                subscription.fail(error)
            return
        self._missing_since.pop(subscription.generation_id, None)
        subscription.recheck()
        _log.warning("queued again what the store forgot", generation_id=subscription.generation_id)

    async def _submit(self, origin: Origin) -> None:
        left_ms = max(1, round((origin.ends_at - time.monotonic()) * 1000))
        # Its acceptance was told long ago: no replica is waited for.
        submission = replace(
            origin.submission, deadline_ms=left_ms, follower=self._follower, replicas=0
        )
        if submission.request_id and await self._is_named_again(submission):
            # Another generation has the request id meanwhile; this one goes on without.
            await self._accept(replace(submission, request_id="", body_digest=b""))
        elif not submission.request_id:
            await self._accept(submission)

    async def _accept(self, submission: Submission) -> Submitted:
        try:
            return await self._queue.submit(submission)
        except QuotaExceededError:
            # It was accepted before those that took its room meanwhile.
            return await self._queue.submit(replace(submission, quota=None))

    async def _is_named_again(self, submission: Submission) -> bool:
        """Submit under the request id; whether that names another generation."""
        try:
            submitted = await self._accept(submission)
        except RequestIdReusedError:
            return True
        return submitted.generation_id != submission.generation_id


def _is_healable(subscription: Subscription, stores: Mapping[str, str]) -> bool:
    origin = subscription.origin
    if origin is None or subscription.is_over:
        return False
    store = stores[subscription.generation_id]
    return origin.store == store and time.monotonic() < origin.ends_at
