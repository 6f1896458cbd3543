"""Schedules of pods and what they cost."""

from __future__ import annotations

import pytest

from facet.simulator.scaling.schedule import Schedule, Scheduled, lowered
from facet.simulator.simulation import Setting, Simulation
from tests.support.simulated_pods import PLAIN, workload

pytestmark = pytest.mark.unit


def _schedule(*ready: int, initial: int = 0) -> Schedule:
    return Schedule(ready, step_seconds=10.0, cold_start_seconds=20.0, initial_pods=initial)


def test_each_pod_serves_its_own_span_and_starts_are_paid() -> None:
    schedule = _schedule(0, 0, 1, 2, 2, 1)

    assert schedule.spans() == [(2, 6), (3, 5)]
    assert schedule.pod_seconds() == (40 + 20) + (20 + 20)


def test_a_pod_is_kept_when_the_gap_is_no_longer_than_a_start() -> None:
    assert _schedule(1, 0, 0, 1, initial=1).spans() == [(0, 4)]
    assert _schedule(1, 0, 0, 0, 1, initial=1).spans() == [(0, 1), (4, 5)]


def test_pods_of_the_beginning_are_not_started() -> None:
    assert _schedule(2, 2, 3, initial=2).pod_seconds() == 30 + 30 + (10 + 20)


def test_it_is_impossible_when_a_pod_would_have_to_start_before_the_beginning() -> None:
    assert not _schedule(1, 1, 1).is_possible
    assert not _schedule(0, 1, 1).is_possible
    assert _schedule(0, 0, 1).is_possible
    assert _schedule(1, 1, 2, initial=1).is_possible


def test_pods_are_taken_away_and_added_in_some_steps_only() -> None:
    assert lowered(_schedule(0, 1, 2, 2), 1, 3, 1).ready == (0, 0, 1, 2)
    assert lowered(_schedule(0, 1, 2, 2), 0, 2, -1).ready == (1, 2, 2, 2)


@pytest.mark.parametrize(
    "schedule",
    [_schedule(0, 0, 1, 2, 2, 1), _schedule(2, 1, 1, 3, 3, 0, initial=2), _schedule(0, 0, 3, 3)],
)
def test_what_is_simulated_costs_what_was_computed(schedule: Schedule) -> None:
    length = len(schedule.ready) * schedule.step_seconds
    setting = Setting(PLAIN, workload([], length), schedule.initial_pods, 20.0)

    measures = Simulation(setting, Scheduled(schedule)).run()

    assert measures.pod_hours * 3600 == pytest.approx(schedule.pod_seconds())


def test_the_last_pod_stays_until_all_is_served() -> None:
    setting = Setting(PLAIN, workload([(19.0, 100, 200)] * 6, 60.0), 1, 20.0)

    measures = Simulation(setting, Scheduled(_schedule(1, 1, 0, 0, 0, 0, initial=1))).run()

    assert measures.ended_requests == 6
    # Two batches of a bit less than 20 s, from 19 s on.
    assert 45 < measures.pod_hours * 3600 < 60
