"""Following one generation to its end: events, signs of life while it waits, limits in time."""

from __future__ import annotations

import time

from facet.api.v1.error_pb2 import Failure
from facet.core.errors import (
    DeadlineExceededError,
    FacetError,
    GenerationNotFoundError,
    StoreUnavailableError,
)
from facet.gateway.subscription import Batch, Subscription
from facet.queue.port import Producer
from facet.queue.values import State
from facet.queue.views import Status

FIRST_STATUS_SECONDS = 1.0
STATUS_INTERVAL_SECONDS = 8.0
# The store ends what is overdue within its sweep interval; this waits a little longer for it, and
# then the gateway speaks, because the store is away.
OVERDUE_SECONDS = 3.0


class Follower:
    """Walks one subscription.

    While nothing arrives it asks for the request's status: the first time after a second, then
    every eight, so that a client behind a proxy sees a sign of life at least every 15 s.
    """

    def __init__(
        self, queue: Producer, subscription: Subscription, *, tenant: str, ends_at: float
    ) -> None:
        """`ends_at`: the generation's deadline on the monotonic clock, in seconds."""
        self._queue = queue
        self._subscription = subscription
        self._tenant = tenant
        self._gives_up_at = ends_at + OVERDUE_SECONDS
        self._patience_seconds = FIRST_STATUS_SECONDS

    async def next(self) -> Batch | Status:
        """The next events, or the status of a request that still waits for a worker.

        The log of a generation that ended is followed to its end, whenever its deadline was.
        Errors: those of `Subscription.next`; DeadlineExceededError.
        """
        while True:
            batch = await self._subscription.next(self._wait_seconds())
            self._patience_seconds = STATUS_INTERVAL_SECONDS
            if batch is not None:
                return batch
            status = await self._status()
            if time.monotonic() >= self._gives_up_at:
                if status is None:
                    raise DeadlineExceededError("the deadline passed while the store was away")
                if status.state is not State.ENDED:
                    raise DeadlineExceededError("the deadline of the generation passed")
            if status is not None and status.state is State.WAITING:
                return status

    def _wait_seconds(self) -> float:
        left_seconds = self._gives_up_at - time.monotonic()
        if left_seconds <= 0:
            return FIRST_STATUS_SECONDS
        return min(self._patience_seconds, left_seconds)

    async def _status(self) -> Status | None:
        generation_id = self._subscription.generation_id
        try:
            return await self._queue.status(generation_id, self._tenant)
        except (StoreUnavailableError, GenerationNotFoundError):
            # The log reader looks after what the store forgot.
            return None


def raise_failure(failure: bytes) -> None:
    """Raise what a terminal entry recorded; nothing when the generation succeeded."""
    if failure:
        raise FacetError.from_failure(Failure.FromString(failure))
