"""Each cause that a decision may tell: a scene that provokes it, and one that does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from facet.autoscaler.coefficients import ServiceCoefficients
from facet.autoscaler.decision import Cause, Decision, Reason
from facet.autoscaler.policy import PolicyState, PoolSettings, decide
from facet.autoscaler.policy.state import PoolMemory
from facet.autoscaler.signals import Latency, Phase, Reading, Signals
from facet.queue.values import Priority
from tests.unit.autoscaler.policy.cluster import Cluster, rate
from tests.unit.autoscaler.policy.scene import (
    COEFFICIENTS,
    COLD_START,
    pods,
    pool,
    settings,
    signals,
)

pytestmark = pytest.mark.unit

Scene = Callable[[bool], Decision]
"""A decision, with what provokes the cause or without it."""


def steady(ready: int = 4, load: float = 3.0, **changes: object) -> Cluster:
    """A cluster whose load has lasted."""
    cluster = Cluster(settings(**changes), ready=ready)
    for _ in range(60):
        cluster.step(arrived=rate(load), leased=round(load * 14))
    return cluster


def served(seen: Signals, *pools: PoolSettings, state: PolicyState | None = None) -> Decision:
    """The first decision."""
    return decide(seen, state or PolicyState(), settings(*pools))[0]


def blind(is_provoked: bool) -> Decision:
    seen = signals(10.0, pods(1), leased=1)
    return served(replace(seen, pods=Reading()) if is_provoked else seen)


def forecast(is_provoked: bool) -> Decision:
    return Cluster(settings(), ready=1).step(arrived=rate(0.5) if is_provoked else 0)


def backlog(is_provoked: bool) -> Decision:
    waiting = rate(3) * 200 if is_provoked else 0
    return steady().step(arrived=rate(3), leased=42, waiting=waiting)


def leased(is_provoked: bool) -> Decision:
    """Answers that take longer than what comes explains."""
    cluster = steady()
    for _ in range(60):
        decision = cluster.step(leased=60 if is_provoked else 0)
    return decision


def batch(is_provoked: bool) -> Decision:
    return Cluster(settings(), ready=1).step(batch=rate(3) * 360 if is_provoked else 0)


def slo_burn(is_provoked: bool) -> Decision:
    """Late first tokens tell of the size once errors of its forecasts are known."""
    cluster = steady()
    late = Latency(within_slo=0.9 if is_provoked else None)
    for _ in range(40):
        cluster.now += 10
        seen = signals(cluster.now, cluster.pods(), arrived=rate(3), leased=42)
        decision = cluster.take(replace(seen, latency=Reading({Priority.INTERACTIVE: late})))
    return decision


def from_zero(is_provoked: bool) -> Decision:
    """A worker outside of the pools holds what the pools may get back."""
    return Cluster(settings()).step(leased=1 if is_provoked else 0)


def idle(is_provoked: bool) -> Decision:
    return Cluster(settings(), ready=1 if is_provoked else 0).step()


def to_zero(is_provoked: bool) -> Decision:
    cluster = Cluster(settings(idle_seconds=60.0), ready=1)
    cluster.step(leased=1)
    for _ in range(6 if is_provoked else 5):
        decision = cluster.step()
    return decision


def stabilised(is_provoked: bool) -> Decision:
    return steady(ready=12, load=10).step(arrived=rate(1 if is_provoked else 10), leased=140)


def surge(is_provoked: bool) -> Decision:
    cluster = steady(max_surge=1.0)
    return cluster.step(arrived=rate(3), leased=42, waiting=rate(400) if is_provoked else 0)


def shrink_rate(is_provoked: bool) -> Decision:
    """What was wanted is forgotten at once, what was there within one start-up time is not."""
    cluster = steady(ready=40, load=30, max_shrink=0.5)
    for _ in range(60):
        decision = cluster.step(arrived=rate(1), leased=14)
        if reasons_of(decision, Cause.SHRINK_RATE):
            return decision if is_provoked else cluster.step(arrived=rate(30), leased=420)
    raise AssertionError("nothing shrank")


def tolerance(is_provoked: bool) -> Decision:
    """One pod of twenty more, which an HPA would not see."""
    seen = signals(10.0, pods(20), batch=rate(20.5) * 360)
    return served(seen if is_provoked else signals(10.0, pods(20), batch=rate(30) * 360))


def minimum(is_provoked: bool) -> Decision:
    return Cluster(settings(pool(min_pods=3 if is_provoked else 0))).step()


def maximum(is_provoked: bool) -> Decision:
    cluster = Cluster(settings(pool(max_pods=2 if is_provoked else 20)), ready=2)
    return cluster.step(arrived=rate(9), leased=32)


def cost_cap(is_provoked: bool) -> Decision:
    cap = 2.0 if is_provoked else 200.0
    cluster = Cluster(settings(pool(price_per_hour=1.0), max_cost_per_hour=cap), ready=2)
    return cluster.step(arrived=rate(9), leased=32)


def exhausted(is_provoked: bool) -> Decision:
    found = pods(2, phase=Phase.UNSCHEDULABLE, age=COLD_START if is_provoked else 1.0)
    return served(signals(10.0, found, waiting=100), pool(), pool("second"))


def back_off(is_provoked: bool) -> Decision:
    memory = PoolMemory(exhausted_until_seconds=100.0 if is_provoked else 5.0)
    state = replace(PolicyState(), pools={"first": memory})
    return served(signals(10.0, pods(1), waiting=100), pool(), pool("second"), state=state)


def unmeasured(is_provoked: bool) -> Decision:
    seen = signals(10.0, pods(1), leased=1)
    measured: Reading[Mapping[str, ServiceCoefficients]] = Reading({"first": COEFFICIENTS})
    return served(seen if is_provoked else replace(seen, coefficients=measured))


SCENES: Mapping[Cause, Scene] = {
    Cause.BLIND: blind,
    Cause.FORECAST: forecast,
    Cause.BACKLOG: backlog,
    Cause.LEASED: leased,
    Cause.BATCH: batch,
    Cause.SLO_BURN: slo_burn,
    Cause.FROM_ZERO: from_zero,
    Cause.IDLE: idle,
    Cause.TO_ZERO: to_zero,
    Cause.STABILISED: stabilised,
    Cause.SURGE: surge,
    Cause.SHRINK_RATE: shrink_rate,
    Cause.TOLERANCE: tolerance,
    Cause.MINIMUM: minimum,
    Cause.MAXIMUM: maximum,
    Cause.COST_CAP: cost_cap,
    Cause.EXHAUSTED: exhausted,
    Cause.BACK_OFF: back_off,
    Cause.UNMEASURED: unmeasured,
}


OF_A_POOL = {
    Cause.MINIMUM,
    Cause.MAXIMUM,
    Cause.COST_CAP,
    Cause.EXHAUSTED,
    Cause.BACK_OFF,
    Cause.UNMEASURED,
}


def reasons_of(decision: Decision, cause: Cause) -> list[Reason]:
    return [each for each in decision.reasons if each.cause is cause]


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: str(cause.value))
def test_a_cause_is_told_when_it_applies_and_not_otherwise(cause: Cause) -> None:
    assert reasons_of(SCENES[cause](False), cause) == []
    told = reasons_of(SCENES[cause](True), cause)
    assert told
    for each in told:
        assert each.pool == ("first" if cause in OF_A_POOL else "")
        assert each.numbers or each.detail
