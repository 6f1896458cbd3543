"""Start-up times, learned from pods as they are seen."""

from __future__ import annotations

import math

import pytest

from facet.autoscaler.signals import Phase, Pod
from facet.autoscaler.startup_times import StartupTimes

pytestmark = pytest.mark.unit


def pod(phase: Phase, age: float, in_phase: float, name: str = "p-1") -> Pod:
    return Pod(name, "l4", phase, age, in_phase)


def test_time_without_a_node_is_not_counted_when_a_pod_becomes_ready() -> None:
    times = StartupTimes()
    for each in (
        pod(Phase.UNSCHEDULABLE, 30, 30),
        pod(Phase.UNSCHEDULABLE, 55, 55),
        pod(Phase.PULLING, 90, 35),
        pod(Phase.READY, 300, 45),
    ):
        times = times.observed([each])

    assert times.pools["l4"].mean_seconds == 200
    assert times.pools["l4"].samples == 1
    assert times.observed([pod(Phase.READY, 400, 145)]) == times


def test_a_start_counts_once_when_a_pod_is_unready_for_a_while_later() -> None:
    """Its probe failed, or its container was started again after a drain: that is no start-up."""
    times = StartupTimes()
    for each in (
        pod(Phase.LOADING, 90, 35),
        pod(Phase.READY, 300, 45),
        pod(Phase.WARMING, 90_000, 5),
        pod(Phase.LOADING, 90_010, 5),
        pod(Phase.READY, 90_100, 10),
    ):
        times = times.observed([each])

    assert times.pools["l4"].mean_seconds == 255
    assert times.pools["l4"].samples == 1


def test_nothing_is_learned_when_a_pod_that_was_found_ready_restarts() -> None:
    times = StartupTimes()
    for phase, age in ((Phase.READY, 80_000), (Phase.LOADING, 90_000), (Phase.READY, 90_100)):
        times = times.observed([pod(phase, age, 10)])

    assert times.pools == {}
    assert times.observed([]) == StartupTimes(), "pods that are gone are forgotten"


def test_nothing_is_learned_when_a_pod_was_ready_at_first_sight() -> None:
    assert StartupTimes().observed([pod(Phase.READY, 300, 45)]).pools == {}


def test_mean_and_deviation_follow_when_starts_differ() -> None:
    times = StartupTimes()
    for seconds in (100, 140, 100, 140):
        times = times.started("l4", seconds)
    assert times.pools["l4"].mean_seconds == pytest.approx(120)
    assert times.pools["l4"].deviation_seconds == pytest.approx(20)
    for _ in range(100):
        times = times.started("l4", 200)
    assert times.pools["l4"].mean_seconds == pytest.approx(200, abs=1)
    assert times.pools["l4"].samples == 104


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_an_impossible_time_is_ignored_when_it_is_told(seconds: float) -> None:
    assert StartupTimes().started("l4", seconds) == StartupTimes()
