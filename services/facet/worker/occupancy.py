"""How many candidates the engine works on, over time."""

from __future__ import annotations

import time


class Occupancy:
    """Integrates the number of candidates inside the engine; costs nothing while it stays."""

    def __init__(self) -> None:
        self._count = 0
        self._area = 0.0
        self._at = time.monotonic()

    def enter(self) -> None:
        """One more is inside."""
        self.area()
        self._count += 1

    def leave(self) -> None:
        """One less is inside."""
        self.area()
        self._count -= 1

    def area(self) -> float:
        """Candidate-seconds so far."""
        now = time.monotonic()
        self._area += self._count * (now - self._at)
        self._at = now
        return self._area
