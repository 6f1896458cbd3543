"""Whole runs: the same each time, in memory that does not grow, fast enough for a day."""

from __future__ import annotations

import dataclasses
import gc
import time
import tracemalloc

import pytest

from facet.queue.values import Priority
from facet.simulator.pod_model import SHIPPED, load
from facet.simulator.scaling.baselines import FixedSize
from facet.simulator.simulation import Setting, Simulation
from facet.simulator.sizing import sample_of, steady
from facet.simulator.workloads.mixing import with_batch
from facet.simulator.workloads.synthetic import SYNTHETIC
from facet.simulator.workloads.workload import Workload
from tests.support.simulated_pods import PLAIN, drawn, workload

pytestmark = pytest.mark.unit

PODS = 20
RATE = 6.0


def _setting(count: int) -> Setting:
    mix = sample_of(SYNTHETIC["poisson"]().scaled(1.0, 0), 0)
    return Setting(load(SHIPPED), steady(mix, RATE, count, 1), PODS)


def test_all_requests_end_and_the_same_comes_out_when_the_seed_is_the_same() -> None:
    first, second = (Simulation(_setting(2_000), FixedSize(PODS)).run() for _ in range(2))

    assert first.ended_requests == first.arrived == 2_000
    assert first.attainment > 0.99
    assert first.ttft.percentile(0.99) == second.ttft.percentile(0.99)
    assert first.pod_hours == second.pod_hours


def test_only_the_load_is_measured_when_it_is_warmed_up() -> None:
    cold = _setting(600)
    warm = dataclasses.replace(cold, warm_up_seconds=130.0, warm_up_of_seconds=50.0)

    played = [request.arrived_seconds for request in warm.arrivals()]
    plain, warmed = (Simulation(each, FixedSize(PODS)).run() for each in (cold, warm))

    load = [request.arrived_seconds for request in cold.arrivals()]
    begin = [at for at in load if at < 50.0]
    assert played == pytest.approx(
        begin
        + [50.0 + at for at in begin]
        + [100.0 + at for at in begin if at < 30.0]
        + [130.0 + at for at in load]
    )
    assert warmed.arrived == warmed.ended_requests == warmed.interactive == 600
    assert warmed.pod_hours == pytest.approx(plain.pod_hours, rel=0.05)
    assert warmed.samples[0].at_seconds == pytest.approx(5.0)


def test_memory_does_not_grow_with_the_requests() -> None:
    peaks = []
    for count in (3_000, 9_000):
        simulation = Simulation(_setting(count), FixedSize(PODS))
        gc.collect()
        tracemalloc.start()
        simulation.run()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    # Samples for plots, four a minute, are all that is kept: 500 seconds and 1,500.
    assert peaks[1] - peaks[0] < 200_000


def test_thousands_of_requests_a_second_are_simulated() -> None:
    simulation = Simulation(_setting(10_000), FixedSize(PODS))

    began = time.process_time()
    simulation.run()

    # 8,000 to 11,000 were seen on one core of a busy machine.
    assert 10_000 / (time.process_time() - began) > 2_500


def test_a_run_ends_early_when_it_has_missed_too_many() -> None:
    requests = drawn(500, 10.0, 0)
    setting = Setting(PLAIN, workload(requests, 60.0), 1)

    whole = Simulation(setting, FixedSize(1)).run()
    cut = Simulation(setting, FixedSize(1)).run(most_misses=10)

    assert whole.ended_requests == 500
    assert whole.misses > 100
    assert cut.late == 11
    assert cut.arrived < 500


def test_time_is_paid_until_all_is_served_when_the_backlog_outlasts_the_load() -> None:
    setting = Setting(PLAIN, workload([(0.0, 100, 1000)] * 8, 10.0), 1)

    measures = Simulation(setting, FixedSize(1)).run()

    assert measures.ended_requests == 8
    # Two batches of four sequences of 1,000 steps of 0.09 s.
    assert measures.pod_hours * 3600 == pytest.approx(180, rel=0.03)


def test_only_interactive_requests_count_and_go_first_when_others_may_wait() -> None:
    loaded = Setting(PLAIN, workload(drawn(400, 6.0, 2), 90.0), 4)
    mixed = Workload("mixed", 90.0, with_batch(loaded.workload, 0.5, 0).arrivals)

    alone = Simulation(loaded, FixedSize(4)).run()
    measures = Simulation(Setting(PLAIN, mixed, 4), FixedSize(4)).run()

    interactive = sum(each.priority is Priority.INTERACTIVE for each in mixed.arrivals())
    assert measures.interactive == interactive < measures.arrived == 400
    assert measures.attainment > alone.attainment + 0.2
