"""Whole decisions, one after another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from facet.autoscaler.decision import Cause, Decision
from facet.autoscaler.policy import decide, from_json, to_json
from facet.autoscaler.signals import Latency, LeasedWork, Phase, Reading
from facet.queue.values import Priority
from tests.unit.autoscaler.policy.cluster import Cluster, causes, rate
from tests.unit.autoscaler.policy.scene import (
    COEFFICIENTS,
    COLD_START,
    INTERVAL,
    pods,
    pool,
    settings,
    signals,
    work,
)

pytestmark = pytest.mark.unit


def test_one_pod_is_started_at_once_when_a_request_waits_at_zero() -> None:
    cluster = Cluster(settings())
    assert cluster.step().total == 0
    decision = cluster.step(waiting=1, arrived=1)
    assert decision.total == 1


def test_size_goes_to_zero_when_nothing_came_for_the_idle_time() -> None:
    cluster = Cluster(settings(idle_seconds=300.0), ready=1)
    cluster.step(leased=1, arrived=1)
    sizes = [cluster.step().total for _ in range(31)]
    assert sizes[:29] == [1] * 29
    assert sizes[-1] == 0


def test_size_is_not_lowered_when_the_queue_is_empty_and_work_runs() -> None:
    cluster = Cluster(settings(), ready=4)
    for _ in range(200):
        decision = cluster.step(leased=60)
        assert decision.total >= math.ceil(60 / 16)


def test_size_follows_a_steady_load_with_little_room_when_it_lasts() -> None:
    cluster = Cluster(settings(), ready=40)
    timely: Reading[Mapping[Priority, Latency]] = Reading(
        {Priority.INTERACTIVE: Latency(within_slo=1.0)}
    )
    for _ in range(400):
        cluster.now += INTERVAL
        seen = signals(cluster.now, cluster.pods(), arrived=rate(30), leased=30 * 16)
        decision = cluster.take(replace(seen, latency=timely))
    assert 30 <= decision.total <= 34


def test_pods_are_ordered_for_the_load_when_it_rises_tenfold() -> None:
    cluster = Cluster(settings(), ready=4)
    for _ in range(100):
        cluster.step(arrived=rate(3), leased=48)
    decision = cluster.step(arrived=rate(30), leased=64, waiting=rate(26))
    assert decision.total >= 30


def test_size_is_held_for_a_start_up_time_when_the_load_falls() -> None:
    cluster = Cluster(settings(), ready=22)
    for _ in range(100):
        decision = cluster.step(arrived=rate(20), leased=320)
    before = decision.total
    held = [cluster.step(arrived=rate(2), leased=32).total for _ in range(24)]
    assert set(held) == {before}
    for _ in range(200):
        decision = cluster.step(arrived=rate(2), leased=32)
    assert decision.total <= 5


@pytest.mark.parametrize("missing", ["queue", "leased", "pods"])
def test_sizes_are_held_and_said_to_be_blind_when_a_signal_is_stale(missing: str) -> None:
    cluster = Cluster(settings(pool(min_pods=1)), ready=9)
    before = cluster.step(leased=140, arrived=rate(8))
    state = cluster.state
    seen = signals(cluster.now + 1e4, cluster.pods())
    stale = replace(getattr(seen, missing), age_seconds=31.0, valid_seconds=30.0)
    decision, after = decide(replace(seen, **{missing: stale}), state, cluster.settings)
    assert decision.is_blind
    assert decision.replicas == before.replicas
    assert [(each.cause, each.detail) for each in decision.reasons] == [(Cause.BLIND, missing)]
    assert after == state


def test_nothing_is_given_up_at_once_when_sight_returns_after_long_blindness() -> None:
    cluster = Cluster(settings(), ready=9)
    before = cluster.step(leased=140, arrived=rate(8)).total
    cluster.now += 10 * COLD_START
    assert cluster.step().total == before


def test_size_never_falls_when_arrivals_are_unknown() -> None:
    cluster = Cluster(settings(idle_seconds=60.0), ready=5)
    first = cluster.step(arrived=rate(4), leased=70).total
    for _ in range(100):
        decision = cluster.step(arrived=None)  # type: ignore[arg-type]
        assert decision.total == first
    assert (Cause.BLIND, "arrivals") in [(each.cause, each.detail) for each in decision.reasons]


def test_more_room_is_kept_when_first_tokens_come_late_though_pods_suffice() -> None:
    plain, burning = Cluster(settings(), ready=40), Cluster(settings(), ready=40)
    late: Reading[Mapping[Priority, Latency]] = Reading(
        {Priority.INTERACTIVE: Latency(within_slo=0.9)}
    )
    for _ in range(100):
        expected = plain.step(arrived=rate(30), leased=480)
        burning.now += INTERVAL
        seen = signals(burning.now, burning.pods(), arrived=rate(30), leased=480)
        decision = burning.take(replace(seen, latency=late))
    assert decision.total > 1.1 * expected.total
    assert Cause.SLO_BURN in causes(decision)


def _always_timely(cluster: Cluster, steps: int) -> Decision:
    timely: Reading[Mapping[Priority, Latency]] = Reading(
        {Priority.INTERACTIVE: Latency(within_slo=1.0)}
    )
    for _ in range(steps):
        cluster.now += INTERVAL
        seen = signals(cluster.now, cluster.pods(), arrived=rate(30), leased=480)
        decision = cluster.take(replace(seen, latency=timely))
    return decision


def test_less_room_is_kept_but_never_less_than_the_load_when_all_first_tokens_come_in_time() -> (
    None
):
    plain, timely = Cluster(settings(tolerance=0.0), ready=40), Cluster(settings(tolerance=0.0))
    for _ in range(800):
        expected = plain.step(arrived=rate(30), leased=480)
    decision = _always_timely(timely, 800)
    assert timely.state.margin < -0.02
    assert 30 <= decision.total < expected.total


def test_the_margin_does_not_fall_when_more_pods_serve_than_it_asks_for() -> None:
    pools = settings(pool(min_pods=60))
    cluster = Cluster(pools, ready=60)
    _always_timely(cluster, 400)
    assert cluster.state.margin == 0.0


def test_batch_work_is_drained_in_its_time_when_nothing_else_is_there() -> None:
    cluster = Cluster(settings(), ready=1)
    waiting = 3 * 3600 / COEFFICIENTS.pod_seconds(work(1), 16)
    decision = cluster.step(batch=waiting, oldest=0.0)
    assert decision.total in (3, 4)
    assert Cause.BATCH in causes(decision)


def test_gpu_seconds_go_to_those_who_ran_when_pods_serve() -> None:
    cluster = Cluster(settings(pool(gpus=2)), ready=3)
    cluster.step(leased=40, arrived=rate(2))
    cluster.step(leased=40, arrived=rate(2))
    assert cluster.state.gpu_seconds["a"] == pytest.approx(3 * 2 * INTERVAL)


_STEP = st.fixed_dictionaries(
    {
        "waiting": st.floats(0, 5000),
        "batch": st.floats(0, 5000),
        "leased": st.integers(0, 1000),
        "arrived": st.one_of(st.none(), st.floats(0, 2000)),
        "oldest": st.floats(0, 5000),
    }
)


@examples(deadline=None, max_examples=25)
@given(steps=st.lists(_STEP, min_size=1, max_size=30), ready=st.integers(0, 40))
def test_bounds_hold_and_state_survives_a_store_when_anything_happens(
    steps: list[dict[str, float]], ready: int
) -> None:
    cap = 90.0
    chosen = settings(
        pool(min_pods=1, max_pods=50, price_per_hour=1.0),
        pool("second", max_pods=50, price_per_hour=3.0),
        max_cost_per_hour=cap,
        max_surge=3.0,
    )
    cluster = Cluster(chosen, ready=ready)
    sizes = [ready]
    for each in steps:
        held = from_json(to_json(cluster.state))
        assert held == cluster.state
        seen = signals(cluster.now + INTERVAL, cluster.pods(), **each)  # type: ignore[arg-type]
        assert decide(seen, cluster.state, chosen) == decide(seen, held, chosen)
        decision = cluster.step(**each)
        assert 1 <= decision.replicas["first"] <= 50
        assert 0 <= decision.replicas["second"] <= 50
        assert decision.replicas["first"] + 3.0 * decision.replicas["second"] <= cap
        assert decision.total <= 4 * max(1, min(sizes[-25:]))
        assert all(math.isfinite(n) for r in decision.reasons for n in r.numbers.values())
        sizes.append(cluster.state.last_size)


@examples(deadline=None, max_examples=25)
@given(
    waiting=st.floats(0, 5000),
    more=st.floats(0, 5000),
    leased=st.integers(0, 800),
    ready=st.integers(1, 50),
)
def test_more_backlog_never_asks_for_fewer_pods_when_all_else_is_equal(
    waiting: float, more: float, leased: int, ready: int
) -> None:
    cluster = Cluster(settings(), ready=ready)
    for _ in range(3):
        cluster.step(arrived=rate(ready / 2), leased=leased)
    few = signals(cluster.now + 10, cluster.pods(), waiting=waiting, leased=leased, arrived=10)
    many = signals(
        cluster.now + 10, cluster.pods(), waiting=waiting + more, leased=leased, arrived=10
    )
    one, _ = decide(few, cluster.state, cluster.settings)
    other, _ = decide(many, cluster.state, cluster.settings)
    assert other.total >= one.total
    assert one.total >= min(math.ceil(leased / 16), ready)


def test_what_workers_hold_beyond_their_seats_adds_no_pods_when_the_load_is_served() -> None:
    cluster = Cluster(settings(), ready=20)
    for _ in range(100):
        decision = cluster.step(arrived=rate(12), leased=20 * 16 + 40)
    assert decision.total <= 20


def test_pods_that_look_for_a_node_count_as_coming_when_work_waits() -> None:
    totals = []
    for phase in (Phase.PULLING, Phase.UNSCHEDULABLE):
        cluster = Cluster(settings(), ready=4)
        for _ in range(30):
            cluster.step(arrived=rate(4), leased=60)
        there = [*pods(4), *pods(8, "first", phase, age=60.0)]
        seen = signals(cluster.now + 10, there, waiting=1500, leased=64, arrived=40)
        totals.append(decide(seen, cluster.state, cluster.settings)[0].total)
    assert totals[0] == totals[1]


def test_odd_leased_work_is_accounted_as_other_when_no_tenant_is_told() -> None:
    cluster = Cluster(settings(), ready=1)
    cluster.step(leased=4)
    seen = signals(cluster.now + 10, pods(1), leased=4)
    cluster.take(replace(seen, leased=Reading(LeasedWork(4))))
    assert cluster.state.gpu_seconds["other"] == pytest.approx(10.0)
