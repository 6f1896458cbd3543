"""How many pods a load needs."""

from __future__ import annotations

import pytest

from facet.simulator.request import Request
from facet.simulator.scaling.baselines import FixedSize
from facet.simulator.simulation import Setting, Simulation
from facet.simulator.sizing import Sizing, measure, peak_rate, pod_seconds, scaled_to, steady
from facet.simulator.workloads.synthetic import SYNTHETIC
from tests.support.simulated_pods import PLAIN

pytestmark = pytest.mark.unit

SIZING = Sizing((1, 4, 16), (2.0, 10.0, 48.0))


def test_the_rate_of_a_pod_goes_in_a_straight_line_between_trials() -> None:
    assert SIZING.rate(1) == 2.0
    assert SIZING.rate(2) == pytest.approx(2 * 2.25)
    assert SIZING.rate(16) == 48.0
    assert SIZING.rate(32) == 96.0


@pytest.mark.parametrize(("rate", "pods"), [(0.0, 0), (0.5, 1), (2.0, 1), (2.1, 2), (48.0, 16)])
def test_the_fewest_pods_are_named_that_serve_a_rate(rate: float, pods: int) -> None:
    assert SIZING.pods_for(rate) == pods


def test_what_is_measured_is_what_a_fleet_serves_within_the_slo() -> None:
    mix = [Request(0.0, 100, output) for output in (5, 10, 30)]

    sizing = measure(PLAIN, mix, 1.0, 0, most_pods=3)

    assert sizing.pods == (1, 4)
    for pods, rate in zip(sizing.pods, sizing.rates, strict=True):
        assert 0.3 / pod_seconds(PLAIN, mix) < rate / pods <= 1.0 / pod_seconds(PLAIN, mix)
    setting = Setting(PLAIN, steady(mix, sizing.rate(4), 4_000, 7), 4, ttft_slo_seconds=1.0)
    assert Simulation(setting, FixedSize(4)).run().attainment > 0.98
    assert list(sizing.missed) == sorted(sizing.missed)
    assert sizing.missed[-1] > 0.2


def test_the_peak_needs_so_many_pods_when_the_load_is_scaled() -> None:
    workload = scaled_to(SYNTHETIC["flash"](), SIZING, 4, 0)

    assert peak_rate(workload) == pytest.approx(10.0, rel=0.12)


def test_the_load_is_left_alone_when_no_pods_are_named() -> None:
    workload = scaled_to(SYNTHETIC["flash"](), SIZING, 0, 0)

    assert peak_rate(workload) == pytest.approx(1.0, rel=0.3)
