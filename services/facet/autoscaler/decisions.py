"""The decision in force, as those read it that act on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from facet.autoscaler.decision import Decision


class Decisions:
    """The last decision and its age; those who wait are woken by each new one.

    A decision older than `valid_seconds` is none: whoever decides is gone, or sees nothing.
    """

    def __init__(
        self, *, valid_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._valid_seconds = valid_seconds
        self._clock = clock
        self._decision: Decision | None = None
        self._taken_at = 0.0
        self.number = 0
        """How many were published; see `newer`."""
        self._changed = asyncio.Event()

    def publish(self, decision: Decision, *, age_seconds: float = 0.0) -> None:
        """Put a decision in force that was taken `age_seconds` ago."""
        self._decision = decision
        self._taken_at = self._clock() - age_seconds
        self.number += 1
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def current(self) -> Decision | None:
        """The decision in force; None where there is none, it is too old, or it was taken blind."""
        decision = self._decision
        if decision is None or decision.is_blind:
            return None
        return decision if self._clock() - self._taken_at <= self._valid_seconds else None

    async def newer(self, number: int) -> int:
        """Return the number of the latest, at once unless it is `number`."""
        while self.number == number:
            await self._changed.wait()
        return self.number
