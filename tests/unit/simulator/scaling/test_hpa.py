"""The arithmetic of the HorizontalPodAutoscaler."""

from __future__ import annotations

import pytest

from facet.simulator.scaling.hpa import (
    UNSMOOTHED,
    Behavior,
    Stabiliser,
    replicas_for_pods,
    replicas_for_total,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("total", "target", "replicas", "wanted"),
    [
        (44.0, 1.0, 40, 40),  # exactly the tolerance
        (45.0, 1.0, 40, 45),
        (36.0, 1.0, 40, 40),
        (35.0, 1.0, 40, 35),
        (51.0, 5.0, 2, 11),
        (0.0, 5.0, 3, 0),
        (7.0, 5.0, 0, 2),
    ],
)
def test_replicas_carry_the_total_unless_it_is_within_the_tolerance(
    total: float, target: float, replicas: int, wanted: int
) -> None:
    assert replicas_for_total(total, target, replicas, 0.1) == wanted


@pytest.mark.parametrize(
    ("uses", "silent", "pending", "wanted"),
    [
        ([0.7, 0.7], 0, 0, 2),
        ([0.76, 0.76], 0, 0, 2),  # 1.086 of the target
        ([1.0, 1.0], 0, 0, 3),
        ([0.2] * 4, 0, 0, 2),
        # Pods that start count as idle against a rise: 2.0 over 4 pods is below the target.
        ([1.0, 1.0], 1, 1, 4),
        ([1.0] * 10, 2, 0, 15),
        # Against a fall silent ones count as on target, and pending ones not at all.
        ([0.3] * 10, 2, 0, 7),
        ([0.3] * 10, 0, 2, 5),
        ([], 1, 2, 3),
    ],
)
def test_pods_without_a_metric_count_against_the_change(
    uses: list[float], silent: int, pending: int, wanted: int
) -> None:
    assert replicas_for_pods(uses, 0.7, silent=silent, pending=pending, tolerance=0.1) == wanted


def test_a_fall_waits_for_the_window_and_starts_with_what_was_there() -> None:
    stabiliser = Stabiliser(Behavior(1, 100, down_window_seconds=60.0))
    stabiliser.begin(10, 0.0)

    asked = [stabiliser.replicas(4, 10, at) for at in (15.0, 30.0, 45.0, 60.0, 75.0)]

    assert asked == [10, 10, 10, 10, 4]


@pytest.mark.parametrize(("current", "most"), [(1, 5), (4, 8), (20, 40)])
def test_a_rise_is_limited_to_four_pods_or_to_the_double(current: int, most: int) -> None:
    assert Stabiliser(Behavior(1, 100)).replicas(90, current, 0.0) == most


def test_nothing_is_smoothed_when_the_decision_already_is() -> None:
    stabiliser = Stabiliser(Behavior(1, 100, **UNSMOOTHED))

    assert stabiliser.replicas(90, 1, 0.0) == 90
    assert stabiliser.replicas(2, 90, 15.0) == 2


def test_bounds_hold_whatever_is_recommended() -> None:
    stabiliser = Stabiliser(Behavior(2, 6, **UNSMOOTHED))

    assert stabiliser.replicas(0, 3, 0.0) == 2
    assert stabiliser.replicas(50, 3, 15.0) == 6
