"""The clairvoyant's schedule costs what the best of all schedules costs, on loads that are tiny."""

from __future__ import annotations

import dataclasses
import itertools
import random

import pytest

from facet.simulator.scaling.clairvoyant import Clairvoyant
from facet.simulator.scaling.schedule import Schedule, Scheduled
from facet.simulator.simulation import Setting, Simulation
from facet.simulator.sizing import Sizing
from tests.support.simulated_pods import PLAIN, workload

pytestmark = pytest.mark.unit

STEPS, MOST_PODS, STEP_SECONDS, COLD = 5, 3, 10.0, 20.0
MODEL = dataclasses.replace(PLAIN, drain_seconds=0.5)
SIZING = Sizing((1,), (1.5,), (0.8, 1.0, 1.2, 1.5), (0.0, 0.01, 0.2, 1.0))


def _setting(seed: int, initial: int) -> Setting:
    chance, requests = random.Random(seed), list[tuple[float, int, int]]()
    at = 0.0 if initial else 2 * STEP_SECONDS
    while at < STEPS * STEP_SECONDS - 1:
        step = int(at / STEP_SECONDS)
        at += chance.expovariate(random.Random(100 * seed + step).uniform(0.3, 2.5))
        if at < STEPS * STEP_SECONDS - 1:
            requests.append((at, chance.randrange(20, 200), chance.randrange(5, 40)))
    return Setting(MODEL, workload(requests, STEPS * STEP_SECONDS), initial, COLD, 1.0)


def _best_of_all(setting: Setting) -> float | None:
    """The cheapest pod hours of every possible schedule that meets the SLO."""
    best = None
    for ready in itertools.product(range(MOST_PODS + 1), repeat=STEPS):
        schedule = Schedule(ready, STEP_SECONDS, COLD, setting.initial_pods)
        if not schedule.is_possible:
            continue
        if best is not None and schedule.pod_seconds() / 3600 >= best:
            continue
        measures = Simulation(setting, Scheduled(schedule)).run()
        is_good = measures.attainment >= 0.99 and measures.ended_requests == measures.arrived
        if is_good and (best is None or measures.pod_hours < best):
            best = measures.pod_hours
    return best


@pytest.mark.parametrize("initial", [0, 2])
@pytest.mark.parametrize("seed", range(3))
def test_no_schedule_at_all_is_cheaper_when_the_load_is_tiny(seed: int, initial: int) -> None:
    setting = _setting(seed, initial)
    count = sum(1 for _ in setting.workload.arrivals())

    found = Clairvoyant(setting, SIZING, count, tell=lambda _: None, steps=STEPS).find()
    best = _best_of_all(setting)

    assert best is not None
    assert found.is_good
    assert found.cost == pytest.approx(best, rel=0.005)


def test_the_least_late_is_found_when_no_pod_can_be_there_in_time() -> None:
    requests = [(1.0 + number, 100, 10) for number in range(5)]
    setting = Setting(MODEL, workload(requests, STEPS * STEP_SECONDS), 0, COLD, 1.0)

    found = Clairvoyant(setting, SIZING, 5, tell=lambda _: None, steps=STEPS).find()

    assert not found.is_good
    assert found.measures.ended_requests == 5


def test_pods_are_there_from_the_begin_when_the_load_was_warmed_up() -> None:
    requests = [(0.5 + number / 2, 100, 20) for number in range(80)]
    load = workload(requests, STEPS * STEP_SECONDS)
    setting = Setting(MODEL, load, 1, COLD, 1.0, warm_up_seconds=20.0, warm_up_of_seconds=20.0)

    found = Clairvoyant(setting, SIZING, 80, tell=lambda _: None, steps=STEPS).find()

    assert found.is_good
    assert found.schedule.ready[0] > setting.initial_pods
