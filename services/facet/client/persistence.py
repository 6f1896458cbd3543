"""How long, and how often, a call that broke is made again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import grpc

from facet.client.errors import FacetApiError

FIRST_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 2.0

PATIENCE_SECONDS = 30.0
"""Without progress for so long a call is given up."""

FIRST_CONTACT_SECONDS = 3.0
"""The same for a client that no gateway has ever answered: its address may well be wrong."""

_DROPPED = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL})


class Persistence:
    """Bounds one call with its repeats: by the deadline, and by time without progress."""

    def __init__(self, timeout_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_at = clock() + timeout_seconds
        self._broken_at: float | None = None
        self._delay_seconds = FIRST_DELAY_SECONDS

    @property
    def remaining_seconds(self) -> float:
        """Until the deadline."""
        return max(self._ends_at - self._clock(), 0.0)

    def progressed(self) -> None:
        """Something arrived: patience and delays begin anew at the next break."""
        self._broken_at = None
        self._delay_seconds = FIRST_DELAY_SECONDS

    def next_delay_seconds(self, patience_seconds: float = PATIENCE_SECONDS) -> float | None:
        """How long to wait after a break before the next try; None to give up."""
        now = self._clock()
        if self._broken_at is None:
            self._broken_at = now
        # Spread, so that those who lost a gateway together do not come back together.
        delay = self._delay_seconds * random.uniform(0.75, 1.0)  # noqa: S311 - no secret
        self._delay_seconds = min(2 * self._delay_seconds, MAX_DELAY_SECONDS)
        if now + delay >= min(self._ends_at, self._broken_at + patience_seconds):
            return None
        return delay


def is_broken(error: FacetApiError) -> bool:
    """Whether a call ended for want of a gateway or its store, not by what a gateway decided.

    A gateway that is cut off while it answers, or a proxy before it, resets the stream: gRPC calls
    that CANCELLED or INTERNAL, and there is no ErrorInfo.
    """
    return error.code is grpc.StatusCode.UNAVAILABLE or (
        error.code in _DROPPED and not error.has_info
    )
