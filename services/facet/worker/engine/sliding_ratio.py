"""A share over the last so many of something."""

from __future__ import annotations

from collections import deque


class SlidingRatio:
    """Hits by units, over the last `most` units or a little more: additions are dropped whole."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._additions: deque[tuple[int, int]] = deque()
        self.units = 0
        self._hits = 0

    def add(self, units: int, hits: int) -> None:
        """Count so many more units, at least one, and the hits among them."""
        self._additions.append((units, hits))
        self.units += units
        self._hits += hits
        while self.units - self._additions[0][0] >= self._most:
            old_units, old_hits = self._additions.popleft()
            self.units -= old_units
            self._hits -= old_hits

    @property
    def value(self) -> float | None:
        """The share; None before the first unit."""
        return self._hits / self.units if self.units else None
