"""The decision that a replica answers with."""

from __future__ import annotations

import asyncio

import pytest

from facet.autoscaler.current_decision import VALID_SECONDS, CurrentDecision
from facet.autoscaler.decision import Decision

pytestmark = pytest.mark.unit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def decision(at: float) -> Decision:
    return Decision(at, {"a": 2})


def held(current: CurrentDecision) -> Decision | None:
    return current.decision


def why(current: CurrentDecision) -> str:
    return current.why_none


async def test_there_is_no_answer_when_the_last_one_is_too_old() -> None:
    clock = Clock()
    current = CurrentDecision(clock)
    assert why(current) == "nothing was decided yet"
    await current.take(decision(1.0), 5.0)
    assert held(current) == decision(1.0)
    assert why(current) == ""
    await current.miss("the store is away")
    clock.now = VALID_SECONDS - 5
    assert held(current) == decision(1.0)
    clock.now += 0.1
    assert held(current) is None
    assert why(current) == "the last decision is 60 s old: the store is away"


async def test_waiters_are_told_when_a_decision_or_an_arrival_comes() -> None:
    clock = Clock()
    current = CurrentDecision(clock)
    seen = await current.changed()
    waiting = asyncio.create_task(current.changed(seen))
    await current.arrive()
    later = await waiting
    assert later != seen
    waiting = asyncio.create_task(current.changed(later))
    clock.now = 1.0
    await current.take(decision(1.0), 0.5)
    assert await waiting != later
    assert not current.has_arrival


async def test_an_arrival_stays_when_the_decision_was_taken_before_it() -> None:
    clock = Clock()
    current = CurrentDecision(clock)
    clock.now = 10.0
    await current.arrive()
    clock.now = 11.0
    await current.take(decision(1.0), 1.5)
    assert current.has_arrival


async def test_waiters_sleep_on_when_the_same_decision_is_read_again() -> None:
    current = CurrentDecision(Clock())
    await current.take(decision(1.0), 0.0)
    seen = await current.changed()
    await current.take(decision(1.0), 3.0)
    assert await current.changed() == seen


async def test_a_decision_grows_old_when_the_stores_clock_was_set_back_and_nobody_decides() -> None:
    clock = Clock()
    current = CurrentDecision(clock)
    await current.take(decision(1000.0), 2.0)
    for _ in range(13):
        clock.now += 5.0
        # By the store's time it was decided just now.
        await current.take(decision(1000.0), 0.0)

    assert held(current) is None


async def test_waiters_are_told_when_the_stores_clock_was_set_back_before_the_next_decision() -> (
    None
):
    current = CurrentDecision(Clock())
    await current.take(decision(1000.0), 0.0)
    seen = await current.changed()
    await current.take(decision(400.0), 0.0)

    assert await current.changed() != seen
