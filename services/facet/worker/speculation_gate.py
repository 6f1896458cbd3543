"""Tells whether drafts are accepted often enough to be worth their time.

An unaccepted draft costs time, never an answer: the worker serves on, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from facet.core.errors import FacetError
from facet.worker.engine.port import Engine
from facet.worker.engine.sliding_ratio import SlidingRatio

WINDOW_DRAFTED = 10_000
"""Drafted tokens of the window: a few seconds of a full GPU, minutes of one stream."""

LEAST_DRAFTED = 1000
"""Of which the window is judged. Tokens of a draft fall together: of 250 drafts of four the share
is known to 0.03."""

LEAST_REHEARSED = 64
"""Drafted tokens of which a self-test is judged: its prompts are easy, so that even few tell a
drafter that guesses from one that does not."""

RECOVERED = 1.2
"""So far above the floor, as its multiple, the share must be again: else it would flap there."""

SELF_TEST_SECONDS = 10.0
"""Three times what a CPU takes for 12B where drafts are accepted; what was drafted until then is
judged."""

TOLD_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class SpeculationGate:
    """Judges drafts by their accepted share: below `floor` they are unhealthy, from
    `RECOVERED` x `floor` on healthy again.

    It is healthy until judged. At batch sizes without drafts nothing is counted and the last
    judgement stands.
    """

    def __init__(self, floor: float) -> None:
        self.floor = floor
        self.is_healthy = True
        self.acceptance: float | None = None
        self._window = SlidingRatio(WINDOW_DRAFTED)

    @property
    def note(self) -> str:
        """What is amiss, for people; empty where nothing is."""
        if self.is_healthy:
            return ""
        return f"speculation: acceptance {self.acceptance or 0.0:.2f} below {self.floor:.2f}"

    def count(self, drafted: int, accepted: int) -> None:
        """Count one step of the engine's own."""
        self._window.add(drafted, accepted)
        if self._window.units >= LEAST_DRAFTED:
            self._judge(self._window.value or 0.0)

    async def self_test(self, engine: Engine) -> None:
        """Judge the engine by a few fixed prompts, within `SELF_TEST_SECONDS`.

        Its drafts are no part of the window. A request that fails is logged, and nothing is judged.
        Errors: EngineDeadError.
        """
        drafted = accepted = 0

        def count(more_drafted: int, more_accepted: int) -> None:
            nonlocal drafted, accepted
            drafted += more_drafted
            accepted += more_accepted

        is_complete = True
        try:
            async with asyncio.timeout(SELF_TEST_SECONDS):
                await engine.rehearse(count)
        except TimeoutError:
            is_complete = False
        except FacetError as error:
            _log.warning("speculation.self_test_failed", reason=error.reason_name())
            return
        told = {"drafted": drafted, "accepted": accepted, "is_complete": is_complete}
        if drafted < LEAST_REHEARSED:
            _log.warning("speculation.self_test_too_short", **told)
            return
        _log.info("speculation.self_tested", **told)
        self._judge(accepted / drafted)

    async def keep_told(self, tell: Callable[[str], Awaitable[None]]) -> None:
        """Tell the note every second until cancelled."""
        while True:
            await tell(self.note)
            await asyncio.sleep(TOLD_SECONDS)

    def _judge(self, acceptance: float) -> None:
        self.acceptance = acceptance
        least = self.floor if self.is_healthy else self.floor * RECOVERED
        is_healthy = acceptance >= least
        if is_healthy != self.is_healthy:
            self.is_healthy = is_healthy
            event = "speculation.recovered" if is_healthy else "speculation.unhealthy"
            _log.warning(event, acceptance=round(acceptance, 3), floor=self.floor)
