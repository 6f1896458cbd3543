"""Judging drafts: the window, its least sample, hysteresis, and the self-test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from facet.core.errors import EngineFailedError
from facet.core.models import NANO
from facet.worker import speculation_gate
from facet.worker.engine.port import EngineDeadError
from facet.worker.engine.simulated import SimulatedEngine, SimulatedOptions
from facet.worker.speculation_gate import (
    LEAST_DRAFTED,
    LEAST_REHEARSED,
    RECOVERED,
    WINDOW_DRAFTED,
    SpeculationGate,
)

pytestmark = pytest.mark.unit

FLOOR = 0.3


def fill(gate: SpeculationGate, share: float, drafted: int = WINDOW_DRAFTED) -> None:
    """So many tokens, in drafts of 100."""
    for _ in range(drafted // 100):
        gate.count(100, round(100 * share))


def changes(logs: list[Any]) -> list[str]:
    return [log["event"] for log in logs if log["log_level"] == "warning"]


def engine(**options: Any) -> SimulatedEngine:
    return SimulatedEngine(SimulatedOptions(step_ms=0, **options), NANO)


class Scripted(SimulatedEngine):
    """Its rehearsal drafts what it is told, then does what it is told."""

    def __init__(self, drafts: tuple[int, int], then: Callable[[], Any]) -> None:
        super().__init__(SimulatedOptions(), NANO)
        self._drafts = drafts
        self._then = then

    async def rehearse(self, count: Callable[[int, int], None]) -> None:
        """See `Engine.rehearse`."""
        count(*self._drafts)
        await self._then()


async def nothing() -> None:
    """Return."""


async def forever() -> None:
    """Hang."""
    await asyncio.Event().wait()


def raises(error: Exception) -> Callable[[], Any]:
    async def fail() -> None:
        raise error

    return fail


def test_nothing_is_judged_when_less_than_the_least_sample_was_drafted() -> None:
    gate = SpeculationGate(FLOOR)
    fill(gate, 0.0, LEAST_DRAFTED - 100)
    assert (gate.is_healthy, gate.acceptance, gate.note) == (True, None, "")
    gate.count(100, 0)
    assert (gate.is_healthy, gate.acceptance) == (False, 0.0)


def test_it_says_what_is_amiss_once_when_the_share_falls_below_the_floor() -> None:
    gate = SpeculationGate(FLOOR)
    with capture_logs() as logs:
        fill(gate, 0.12)
        fill(gate, 0.12)
    assert gate.note == "speculation: acceptance 0.12 below 0.30"
    assert changes(logs) == ["speculation.unhealthy"]
    assert (logs[0]["acceptance"], logs[0]["floor"]) == (0.12, FLOOR)


def test_the_share_of_the_floor_itself_is_healthy() -> None:
    at, below = SpeculationGate(FLOOR), SpeculationGate(FLOOR)
    fill(at, FLOOR)
    fill(below, FLOOR - 0.01)
    assert (at.is_healthy, below.is_healthy) == (True, False)


def test_it_recovers_well_above_the_floor_only() -> None:
    gate = SpeculationGate(FLOOR)
    seen = []
    # Inside of the band nothing changes, however often the floor is crossed.
    shares = (0.1, FLOOR + 0.02, FLOOR - 0.02, FLOOR * RECOVERED - 0.01, FLOOR * RECOVERED)
    with capture_logs() as logs:
        for share in shares:
            fill(gate, share)
            seen.append(gate.is_healthy)
    assert seen == [False, False, False, False, True]
    assert gate.note == ""
    assert changes(logs) == ["speculation.unhealthy", "speculation.recovered"]


def test_old_drafts_do_not_count_when_the_window_has_passed() -> None:
    gate = SpeculationGate(FLOOR)
    fill(gate, 0.9, 10 * WINDOW_DRAFTED)
    fill(gate, 0.0, WINDOW_DRAFTED)
    assert gate.acceptance == 0.0


async def test_the_self_test_measures_the_engine_before_any_request() -> None:
    low, high = SpeculationGate(FLOOR), SpeculationGate(FLOOR)
    await low.self_test(engine(acceptance_rate=0.1))
    await high.self_test(engine(acceptance_rate=0.9))
    assert not low.is_healthy
    assert high.is_healthy
    assert low.acceptance is not None
    assert high.acceptance is not None
    assert low.acceptance < FLOOR < 0.7 < high.acceptance


async def test_the_self_test_is_no_victim_of_faults_that_requests_have() -> None:
    gate = SpeculationGate(FLOOR)
    await gate.self_test(engine(faults="[[hang@1]]"))
    assert gate.acceptance is not None


async def test_the_judgement_of_the_self_test_stands_until_enough_was_drafted() -> None:
    gate = SpeculationGate(FLOOR)
    await gate.self_test(Scripted((200, 10), nothing))
    fill(gate, 0.9, LEAST_DRAFTED - 100)
    assert (gate.is_healthy, gate.acceptance) == (False, 0.05)
    fill(gate, 0.9, 100)
    assert (gate.is_healthy, gate.acceptance) == (True, 0.9)


async def test_what_was_drafted_is_judged_when_the_self_test_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speculation_gate, "SELF_TEST_SECONDS", 0.01)
    gate = SpeculationGate(FLOOR)
    await asyncio.wait_for(gate.self_test(Scripted((LEAST_REHEARSED, 0), forever)), 5)
    assert not gate.is_healthy


@pytest.mark.parametrize(
    ("drafts", "then", "event"),
    [
        ((LEAST_REHEARSED - 1, 0), nothing, "speculation.self_test_too_short"),
        ((500, 0), raises(EngineFailedError("no")), "speculation.self_test_failed"),
    ],
)
async def test_nothing_is_judged_when_the_self_test_tells_too_little(
    drafts: tuple[int, int], then: Callable[[], Any], event: str
) -> None:
    gate = SpeculationGate(FLOOR)
    with capture_logs() as logs:
        await gate.self_test(Scripted(drafts, then))
    assert (gate.is_healthy, gate.acceptance) == (True, None)
    assert changes(logs) == [event]


async def test_the_self_test_fails_when_the_engine_is_dead() -> None:
    with pytest.raises(EngineDeadError):
        await SpeculationGate(FLOOR).self_test(Scripted((1, 0), raises(EngineDeadError("gone"))))


async def test_the_note_is_told_again_and_again() -> None:
    gate = SpeculationGate(FLOOR)
    fill(gate, 0.1)
    told: list[str] = []

    async def tell(note: str) -> None:
        told.append(note)
        if len(told) == 1:
            fill(gate, 0.9)
        else:
            raise EOFError

    with pytest.raises(EOFError):
        await asyncio.wait_for(gate.keep_told(tell), 10)
    assert told == ["speculation: acceptance 0.10 below 0.30", ""]
