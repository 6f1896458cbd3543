"""Forecasts over one horizon, against loads with a known law."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from facet.autoscaler.policy.forecasting import Forecast, Forecaster, observe

pytestmark = pytest.mark.unit

HORIZON = 250.0
INTERVAL = 10.0
SIZE = 0.5
"""Pod seconds of a request."""


def _observed(rate: Callable[[float], float], seconds: float) -> list[tuple[float, Forecast]]:
    """Forecasts at each time, arrivals being Poisson at `rate` pods."""
    chance = random.Random(5)
    state, found, at = Forecaster(), [], 0.0
    while at < seconds:
        at += INTERVAL
        mean = rate(at) * INTERVAL / SIZE
        count = max(0.0, chance.gauss(mean, math.sqrt(mean)))
        state, forecast = observe(
            state, count * SIZE / INTERVAL, count / INTERVAL, INTERVAL, HORIZON
        )
        found.append((at, forecast))
    assert len(state.pending) <= 33
    return found


def test_error_is_small_when_the_load_is_steady() -> None:
    _, forecast = _observed(lambda _: 30.0, 7200)[-1]
    assert forecast.far == pytest.approx(30.0, rel=0.02)
    assert forecast.error < 0.02


def test_a_slope_is_carried_to_the_horizon_when_it_lasts() -> None:
    def day(at: float) -> float:
        return 22 - 18 * math.cos(2 * math.pi * at / 21600)

    late = [
        forecast.far / day(at + HORIZON) - 1 for at, forecast in _observed(day, 9000) if at > 4000
    ]
    assert abs(sum(late) / len(late)) < 0.02
    assert max(map(abs, late)) < 0.12


def test_the_new_level_is_taken_at_once_when_the_load_jumps() -> None:
    found = _observed(lambda at: 30.0 if at > 3600 else 3.0, 3660)
    assert next(each.is_changed for at, each in found if at > 3600)
    assert found[-1][1].far == pytest.approx(30.0, rel=0.1)
    assert not any(each.is_changed for at, each in found if 600 < at <= 3600)


def test_error_shows_what_was_missed_when_the_load_wanders() -> None:
    def wandering(at: float) -> float:
        return 30.0 + 6.0 * math.sin(2 * math.pi * at / 700)

    _, forecast = _observed(wandering, 14400)[-1]
    assert 0.08 < forecast.error < 0.25


def test_a_pause_is_no_new_level_but_a_lasting_fall_is() -> None:
    def paused(at: float) -> float:
        return 5.0 if 3600 < at <= 3630 else 30.0

    assert min(each.most for at, each in _observed(paused, 4000) if at > 600) > 20.0

    found = _observed(lambda at: 3.0 if at > 3600 else 30.0, 4150)
    assert any(each.is_changed for at, each in found if at > 3600)
    assert found[-1][1].far == pytest.approx(3.0, rel=0.3)


def test_what_was_not_foreseen_counts_when_the_level_changes() -> None:
    def jumping(at: float) -> float:
        return 20.0 if at % 1200 < 300 else 10.0

    errors = [each.error for at, each in _observed(jumping, 14400) if at > 7200]
    assert min(errors) > 0.1

    falling = [each.error for at, each in _observed(lambda at: 30 * 0.5 ** (at / 3600), 7200)]
    assert falling[-1] < 0.05
