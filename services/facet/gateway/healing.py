"""What a gateway does about requests that the store forgot."""

from __future__ import annotations

import time
from dataclasses import replace

import structlog

from facet.core.errors import FacetError, StoreUnavailableError
from facet.gateway.subscription import Subscription
from facet.queue.port import Queue

LOST_SECONDS = 6.0
"""With the time between two looks it is told within 10 s."""

_log = structlog.get_logger(__name__)


class Healing:
    """Queues requests anew that a failover lost, and tells readers of what is lost for good."""

    def __init__(self, queue: Queue, follower: str) -> None:
        self._queue = queue
        self._follower = follower
        self._missing_since: dict[str, float] = {}

    async def restore(self, subscription: Subscription) -> None:
        """Look after one whose request the store does not know.

        The gateway that accepted it queues it again under its id, unless the whole store is another
        one or its deadline is over. Readers elsewhere wait for that. Errors:
        StoreUnavailableError.
        """
        if subscription.is_over:
            return
        name, origin = subscription.generation_id, subscription.origin
        store = await self._queue.origin()
        if origin and origin.store == store and time.monotonic() < origin.ends_at:
            await self._queue_again(subscription)
            return
        now = time.monotonic()
        since = self._missing_since.setdefault(name, now)
        if origin or not store or now - since > LOST_SECONDS:
            self._missing_since.pop(name, None)
            subscription.lose()

    async def _queue_again(self, subscription: Subscription) -> None:
        origin = subscription.origin
        if origin is None:
            return
        left_ms = max(1, round((origin.ends_at - time.monotonic()) * 1000))
        submission = replace(
            origin.submission, deadline_ms=left_ms, request_id="", follower=self._follower
        )
        try:
            await self._queue.submit(submission)
        except StoreUnavailableError:
            raise
        except FacetError as error:
            subscription.fail(error)
            return
        subscription.recheck()
        _log.warning("queued again what the store forgot", generation_id=subscription.generation_id)
