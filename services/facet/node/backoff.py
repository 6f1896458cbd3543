"""How long to wait before a dead process is started again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackOffPolicy:
    """The first wait, the factor between waits, the longest wait, and the life that forgives."""

    first_seconds: float = 0.2
    factor: float = 2.0
    longest_seconds: float = 30.0
    stable_seconds: float = 60.0


class BackOff:
    """Counts deaths in a row; a process that lived `stable_seconds` starts from the first wait."""

    def __init__(self, policy: BackOffPolicy) -> None:
        self._policy = policy
        self._deaths = 0

    def next_delay_seconds(self, lived_seconds: float) -> float:
        """The wait after a death that ended a life of `lived_seconds`."""
        if lived_seconds >= self._policy.stable_seconds:
            self._deaths = 0
        # The exponent is bounded so that a process that never starts cannot overflow it.
        delay = self._policy.first_seconds * self._policy.factor ** min(self._deaths, 64)
        self._deaths += 1
        return min(delay, self._policy.longest_seconds)
