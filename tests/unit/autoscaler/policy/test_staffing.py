"""Sizes from the queueing model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet.autoscaler.policy.staffing import Demand, missed_share, places_for

pytestmark = pytest.mark.unit

DEMAND = Demand(400.0, 400.0, 1.5, 10.0, 10.0)


def _erlang_c(servers: int, load: float) -> float:
    """The share that waits, by the exact formula."""
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = load * blocked / (n + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


@pytest.mark.parametrize(("servers", "load"), [(24, 20.0), (110, 100.0), (420, 400.0)])
def test_misses_are_those_of_erlang_when_nobody_may_wait(servers: int, load: float) -> None:
    demand = replace(DEMAND, load=load, urgent=load, urgent_wait_seconds=0.0)
    assert missed_share(demand, servers) == pytest.approx(_erlang_c(servers, load), rel=0.15)


def test_relative_room_shrinks_when_load_grows() -> None:
    small = places_for(replace(DEMAND, load=20.0, urgent=20.0), 0.01) / 20
    large = places_for(replace(DEMAND, load=2000.0, urgent=2000.0), 0.01) / 2000
    assert small > 1.15
    assert large < 1.02


@given(
    load=st.floats(1, 5000),
    error=st.floats(0, 0.5),
    misses=st.floats(0.001, 0.2),
    peakedness=st.floats(0.5, 20),
)
def test_places_meet_the_misses_when_load_is_any(
    load: float, error: float, misses: float, peakedness: float
) -> None:
    demand = replace(DEMAND, load=load, urgent=load / 2, error=error, peakedness=peakedness)
    places = places_for(demand, misses)
    assert places > load
    assert missed_share(demand, places) <= misses
    assert places_for(replace(demand, load=1.1 * load, urgent=0.55 * load), misses) > places


def test_more_room_is_kept_when_forecasts_were_wrong_or_batch_fills_the_rest() -> None:
    exact = places_for(DEMAND, 0.005)
    assert places_for(replace(DEMAND, error=0.1), 0.005) > 1.1 * exact
    assert places_for(replace(DEMAND, is_filled=True), 0.005) > exact
