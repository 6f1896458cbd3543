"""The discrete-event kernel: a clock and a heap of what is due."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

Action = Callable[[], None]


class Kernel:
    """Runs actions in the order of their times, those of one time in the order they were given.

    `now` is in seconds and starts at 0. Nothing is ever cancelled: an action that may be overtaken
    by others finds out itself that it has nothing left to do.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Action]] = []
        self._given = 0

    def at(self, seconds: float, action: Action) -> None:
        """Run the action at that time, at once where it has passed."""
        self._given += 1
        heapq.heappush(self._due, (max(seconds, self.now), self._given, action))

    def after(self, seconds: float, action: Action) -> None:
        """Run the action so much later."""
        self.at(self.now + seconds, action)

    def run(self, is_over: Callable[[], bool], until: float = math.inf) -> None:
        """Run what is due until `is_over`, which is asked after each action, or that time."""
        due = self._due
        while due and due[0][0] <= until:
            self.now, _, action = heapq.heappop(due)
            action()
            if is_over():
                return
