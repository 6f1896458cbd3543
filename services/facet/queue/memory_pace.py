"""The in-memory twin's measures: how fast tokens leave the queue and how long answers are."""

from __future__ import annotations

from facet.queue.limits import FIRST_OUTPUT_TOKENS, OUTPUT_MEMORY, PACE_MS


class Pace:
    """Two windows of tokens that left, and a mean; see `drain_rate` in the scripts' prelude."""

    def __init__(self) -> None:
        self.mean_output: float = FIRST_OUTPUT_TOKENS
        self._since_ms: int | None = None
        self._left = 0
        self._before = 0

    def rate(self, now: int) -> float:
        """Tokens a millisecond, 0 when nothing left lately."""
        age = now - self._since_ms if self._since_ms is not None else -1
        if not 0 <= age < 2 * PACE_MS:
            return 0
        if self._before == 0:
            return self._left / max(age, PACE_MS / 5)
        return (self._left + self._before) / (age + PACE_MS)

    def note_drained(self, tokens: int, now: int) -> None:
        """Count tokens that left."""
        age = now - (self._since_ms or 0)
        if 0 <= age < PACE_MS:
            self._left += tokens
            return
        self._before = self._left if 0 <= age < 2 * PACE_MS else 0
        self._since_ms, self._left = now, tokens

    def learn_output(self, tokens: float) -> None:
        """Let the mean follow an answer of so many tokens."""
        mean = self.mean_output + (tokens - self.mean_output) / OUTPUT_MEMORY
        self.mean_output = float(f"{mean:.2f}")
