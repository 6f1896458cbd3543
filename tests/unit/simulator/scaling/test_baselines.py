"""What is usually done, as it is usually done."""

from __future__ import annotations

import pytest

from facet.simulator.measures import Measures
from facet.simulator.scaling.baselines import FixedSize, HpaUtilisation, KedaQueueLength
from facet.simulator.scaling.port import Scaler
from facet.simulator.simulation import Setting, Simulation
from tests.support.simulated_pods import PLAIN, drawn, workload

pytestmark = pytest.mark.unit

REQUESTS = [(at + 100.0, prompt, output) for at, prompt, output in drawn(2_000, 4.0, 1)]


def _run(scaler: Scaler, initial: int) -> Measures:
    setting = Setting(PLAIN, workload(REQUESTS, 1500.0), initial, 60.0)
    return Simulation(setting, scaler).run()


def test_the_size_stays_when_it_is_fixed() -> None:
    measures = _run(FixedSize(7), 2)

    assert {each.paid_pods for each in measures.samples} == {7}
    assert measures.scale_events == 0


def test_keda_starts_at_its_next_poll_and_stops_after_its_cooldown() -> None:
    measures = _run(KedaQueueLength(min_pods=0, max_pods=20), 0)

    # It polls at 120 s, twenty seconds after the first request.
    first_paid = next(each.at_seconds for each in measures.samples if each.paid_pods)
    assert first_paid == 120.0
    assert measures.samples[-1].paid_pods == 0
    assert measures.ended_requests == 2_000


def test_keda_keeps_its_minimum_when_nothing_waits() -> None:
    measures = _run(KedaQueueLength(min_pods=1, max_pods=20), 1)

    assert min(each.paid_pods for each in measures.samples) == 1


def test_the_hpa_follows_the_sequences_in_use_and_falls_after_its_window() -> None:
    measures = _run(HpaUtilisation(min_pods=1, max_pods=20), 1)

    paid = {each.at_seconds: each.paid_pods for each in measures.samples}
    assert max(paid.values()) > 5
    last_arrival = REQUESTS[-1][0]
    peak = paid[15.0 * (last_arrival // 15.0)]
    assert peak > 2
    assert all(paid[at] >= 2 for at in paid if last_arrival < at < last_arrival + 280)
    assert paid[1485.0] == 1
