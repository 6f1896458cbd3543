"""How one attempt went inside the engine: moments and counts, for its spans and its timing."""

from __future__ import annotations

import time

from facet.worker.engine.port import EngineTimes, Step
from facet.worker.occupancy import Occupancy


class Pace:
    """Counts the steps of all candidates of an attempt; moments are on the monotonic clock.

    `parse_seconds` is what turning ids into answers took, in all.
    """

    def __init__(self, occupancy: Occupancy) -> None:
        self._occupancy = occupancy
        self._area = self._left_area = 0.0
        self._left_at = 0.0
        self.entered_at: float | None = None
        self.first_at: float | None = None
        self.last_at = 0.0
        self.parse_seconds = 0.0
        self.steps = 0
        self.output_tokens = 0
        self.drafted_tokens = 0
        self.accepted_tokens = 0
        self.cached_tokens = 0
        self.engine_times: EngineTimes | None = None

    def entered(self) -> None:
        """The engine is asked for a candidate; the first one counts."""
        if self.entered_at is None:
            self.entered_at = time.monotonic()

    def left(self) -> None:
        """The engine is done with a candidate; the last one counts."""
        self._left_at, self._left_area = time.monotonic(), self._occupancy.area()

    def stepped(self, step: Step, began_at: float) -> bool:
        """A step was decoded since `began_at`; True where it brought the first id of all."""
        self.last_at = time.monotonic()
        self.parse_seconds += self.last_at - began_at
        self.steps += 1
        self.output_tokens += len(step.token_ids)
        self.drafted_tokens += step.drafted_tokens
        self.accepted_tokens += step.accepted_tokens
        if step.engine_times is not None:
            self.engine_times = step.engine_times
        if self.first_at is not None or not step.token_ids:
            return False
        self.first_at = self.last_at
        self.cached_tokens = step.cached_prompt_tokens
        self._area = self._occupancy.area()
        return True

    @property
    def prefill_seconds(self) -> float:
        """From when the engine scheduled it, else was asked, to the first id; 0 without one."""
        if self.engine_times is not None:
            return self.engine_times.prefill_seconds
        if self.first_at is None or self.entered_at is None:
            return 0.0
        return self.first_at - self.entered_at

    @property
    def decode_seconds(self) -> float:
        """From the first id to the last one."""
        return 0.0 if self.first_at is None else self.last_at - self.first_at

    @property
    def mean_batch(self) -> float:
        """Candidates inside the engine from the first id on, in the mean over time."""
        if self.first_at is None or self._left_at <= self.first_at:
            return 0.0
        return (self._left_area - self._area) / (self._left_at - self.first_at)
