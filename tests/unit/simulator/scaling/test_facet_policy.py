"""The policy scales the simulated pods by what it learns of them."""

from __future__ import annotations

import dataclasses

import pytest

from facet.simulator.faults import Faults, PoolFaults
from facet.simulator.measures import Measures
from facet.simulator.scaling.facet_policy import FacetPolicy, PoolOfPods, coefficients_of
from facet.simulator.scaling.port import POOL, SPOT
from facet.simulator.simulation import Setting, Simulation
from tests.support.simulated_pods import PLAIN, drawn, workload

pytestmark = pytest.mark.unit

COLD = 60.0
REQUESTS = [(at + 300.0, prompt, output) for at, prompt, output in drawn(3_000, 5.0, 1)]


def _policy(*pools: PoolOfPods) -> FacetPolicy:
    return FacetPolicy(
        PLAIN,
        pools or (PoolOfPods(POOL),),
        min_pods=0,
        max_pods=50,
        cold_start_seconds=COLD,
        ttft_slo_seconds=2.0,
    )


def _run(policy: FacetPolicy, setting: Setting) -> Measures:
    return Simulation(setting, policy).run()


def test_the_first_token_comes_with_the_first_pod_when_there_is_none() -> None:
    setting = Setting(PLAIN, workload(REQUESTS, 3000.0), 0, COLD)

    measures = _run(_policy(), setting)

    assert measures.first_token_seconds is not None
    assert COLD < measures.first_token_seconds <= COLD + 5.0
    assert measures.ended_requests == 3_000
    # All go when the load is over; ten pods all the time would take more.
    assert measures.samples[-1].paid_pods == 0
    assert measures.pod_hours < 10 * 3000 / 3600


def test_coefficients_come_near_the_true_ones() -> None:
    policy = _policy()
    _run(policy, Setting(PLAIN, workload(REQUESTS, 1000.0), 3, COLD))

    learned = policy.learned[POOL].coefficients
    assert learned.samples > 500
    # Prompts share their steps with others, so that a token costs a little more than alone.
    text = next(iter(learned.prefill_token_seconds.values()))
    assert text == pytest.approx(PLAIN.prefill_token_seconds, rel=0.5)
    assert learned.tokens_per_step == pytest.approx(1.0, rel=0.15)


def test_the_promise_of_a_pod_is_its_full_batch() -> None:
    promised = coefficients_of(PLAIN)

    full = PLAIN.max_sequences
    assert promised.step_seconds(full) == pytest.approx(PLAIN.step_seconds[full])
    assert promised.tokens_per_step == PLAIN.tokens_per_step[full]


def test_other_pods_serve_when_spot_pods_are_out_of_stock() -> None:
    def faults() -> Faults:
        return Faults({SPOT: PoolFaults(stock_outs=((0.0, 2000.0),))})

    setting = Setting(PLAIN, workload(REQUESTS, 1500.0), 0, COLD)
    policy = _policy(PoolOfPods(SPOT, is_spot=True, price_per_hour=0.4), PoolOfPods(POOL))

    measures = _run(policy, dataclasses.replace(setting, faults=faults))

    assert measures.ended_requests == 3_000
    assert policy.learned[POOL].samples > 100
    assert policy.learned[SPOT].samples == 0


def test_all_is_served_when_spot_pods_are_lost_and_engines_fail() -> None:
    def faults() -> Faults:
        return Faults({SPOT: PoolFaults(losses_per_hour=10.0, failures_per_hour=10.0)}, seed=3)

    setting = Setting(PLAIN, workload(REQUESTS, 1500.0), 4, COLD)
    policy = _policy(PoolOfPods(SPOT, is_spot=True, price_per_hour=0.4), PoolOfPods(POOL))

    measures = _run(policy, dataclasses.replace(setting, faults=faults))

    assert measures.ended_requests == 3_000
    assert measures.attainment > 0.3
