"""The decision that a replica answers with, whoever of all took it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from facet.autoscaler.decision import Decision

VALID_SECONDS = 60.0
"""An older one is no answer: its leader is gone, and none has followed."""


class CurrentDecision:
    """What writers of replicas ask and wait for; in one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._decision: Decision | None = None
        self._decided_at = 0.0
        self._why = "nothing was decided yet"
        self._has_arrival = False
        self._arrived_at = -math.inf
        self._version = 0
        self._changed = asyncio.Condition()

    @property
    def decision(self) -> Decision | None:
        """The last one while it is young enough; None: hold, see `why_none`."""
        if self._decision is None or self.age_seconds > VALID_SECONDS:
            return None
        return self._decision

    @property
    def age_seconds(self) -> float:
        """Since the last one was decided, however old; NaN before the first."""
        return math.nan if self._decision is None else self._clock() - self._decided_at

    @property
    def why_none(self) -> str:
        """Why there is no decision; "" while there is one."""
        if self.decision is not None:
            return ""
        if self._decision is not None:
            return f"the last decision is {self.age_seconds:.0f} s old: {self._why or 'no leader'}"
        return self._why

    @property
    def has_arrival(self) -> bool:
        """Whether a request came to an idle queue since the last decision: pods are needed."""
        return self._has_arrival

    async def take(self, decision: Decision, age_seconds: float) -> None:
        """Answer with this one; the same one again does not become younger.

        `age_seconds` is since its signals were read, rather too long than too short: one that was
        taken before a request came does not answer its arrival. The store's clock, by which it is
        told, may have been set back.
        """
        is_new = self._decision is None or decision.at_seconds != self._decision.at_seconds
        decided_at = self._clock() - age_seconds
        self._decided_at = decided_at if is_new else min(decided_at, self._decided_at)
        self._decision, self._why = decision, ""
        if self._decided_at > self._arrived_at:
            self._has_arrival = False
        if is_new:
            await self._tell()

    async def miss(self, why: str) -> None:
        """No news of decisions: the last one counts until it is too old."""
        self._why = why

    async def arrive(self) -> None:
        """A request came to an idle queue."""
        self._has_arrival = True
        self._arrived_at = self._clock()
        await self._tell()

    async def changed(self, seen: int = -1) -> int:
        """Wait for a version other than `seen`, which is given back: decision or arrival."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._version != seen)
            return self._version

    async def _tell(self) -> None:
        async with self._changed:
            self._version += 1
            self._changed.notify_all()
