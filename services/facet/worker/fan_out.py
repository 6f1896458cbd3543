"""The engine's runs of one request, one for each candidate, and what they bring in one output."""

from __future__ import annotations

import time
from contextlib import aclosing

from facet.api.v1 import generation_pb2
from facet.core.tasks import run_all
from facet.worker.attempt import Attempt
from facet.worker.candidate import Candidate
from facet.worker.continuation import Continuation, behind
from facet.worker.output import Output
from facet.worker.workplace import Workplace


class FanOut:
    """Runs what is left of a request's candidates side by side, each in a seat of its own."""

    def __init__(self, generation_id: str, place: Workplace, attempt: Attempt) -> None:
        self._generation_id = generation_id
        self._attempt = attempt
        self._place = place
        # Of each candidate in the engine, on the monotonic clock.
        self._progress_at: dict[int, float] = {}

    @property
    def is_in_engine(self) -> bool:
        """Whether the engine works on a candidate, or was asked to."""
        return bool(self._progress_at)

    def idle_seconds(self) -> float:
        """Time since the last progress of the candidate that made none for longest.

        0 outside of the engine.
        """
        oldest = min(self._progress_at.values(), default=None)
        return 0.0 if oldest is None else time.monotonic() - oldest

    async def run(
        self, request: generation_pb2.GenerationRequest, output: Output, way: Continuation
    ) -> None:
        """Return when the output is complete. The first error ends all runs and is raised."""
        await run_all(
            self._run(candidate, request, output, way) for candidate in output.unfinished()
        )

    async def _run(
        self,
        candidate: Candidate,
        request: generation_pb2.GenerationRequest,
        output: Output,
        way: Continuation,
    ) -> None:
        async with self._place.slots:
            output.announce(self._place.worker)
            self._attempt.entered()
            self._place.occupancy.enter()
            self._progress_at[candidate.index] = time.monotonic()
            steps = self._place.engine.generate(
                self._generation_id,
                request,
                output.prompt,
                candidate.logged if way is Continuation.EXACT else (),
                candidate.index,
            )
            if way is Continuation.REPEAT:
                steps = behind(steps, candidate.logged)
            try:
                async with aclosing(steps):
                    async for step in steps:
                        now = time.monotonic()
                        self._progress_at[candidate.index] = now
                        self._place.pulse.steps += 1
                        output.take(candidate, step)
                        self._attempt.stepped(step, now)
                        if candidate.is_complete:
                            return
            finally:
                self._attempt.left()
                self._place.occupancy.leave()
                del self._progress_at[candidate.index]
