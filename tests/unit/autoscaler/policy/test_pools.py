"""Pods over pools: stock-outs, back-off, cost."""

from __future__ import annotations

import pytest

from facet.autoscaler.decision import Cause, Decision
from facet.autoscaler.policy import PolicySettings, PolicyState, decide
from facet.autoscaler.signals import Phase, Pod
from tests.unit.autoscaler.policy.scene import COEFFICIENTS, INTERVAL, pool, settings, signals, work

pytestmark = pytest.mark.unit

LOAD = 9 * INTERVAL / COEFFICIENTS.pod_seconds(work(1), 16)
"""Requests in an interval that keep nine pods busy."""


class Market:
    """A spot pool that has nodes or not, and one that always has; pods with a node serve."""

    def __init__(self, chosen: PolicySettings) -> None:
        self.settings = chosen
        self.state = PolicyState()
        self.now = 0.0
        self.has_spot = True
        self.pods: dict[str, list[tuple[float, bool]]] = {"spot": [], "plain": []}

    def step(self) -> Decision:
        self.now += INTERVAL
        found: list[Pod] = []
        for name, members in self.pods.items():
            if name == "spot" and self.has_spot:
                members[:] = [(born, True) for born, _ in members]
            for index, (born, placed) in enumerate(members):
                age = self.now - born
                phase = Phase.UNSCHEDULABLE if not placed else Phase.LOADING
                phase = Phase.READY if placed and age >= 240 else phase
                found.append(Pod(f"{name}-{index}", name, phase, age, age))
        seen = signals(self.now, found, leased=144, arrived=LOAD)
        decision, self.state = decide(seen, self.state, self.settings)
        for name, count in decision.replicas.items():
            # Kubernetes deletes those without a node first.
            members = sorted(self.pods[name], key=lambda each: not each[1])[:count]
            more = [(self.now, name == "plain" or self.has_spot)] * (count - len(members))
            self.pods[name] = members + more
        return decision

    def run(self, seconds: float) -> Decision:
        for _ in range(int(seconds / INTERVAL)):
            decision = self.step()
        return decision


def _market(**changes: object) -> Market:
    return Market(
        settings(
            pool("spot", price_per_hour=1.0, is_spot=True),
            pool("plain", price_per_hour=3.0),
            **changes,
        )
    )


def test_the_next_pool_is_used_and_the_first_again_when_its_stock_comes_back() -> None:
    market = _market()
    market.has_spot = False
    first = market.run(100)
    assert first.replicas["spot"] >= 9
    assert first.replicas["plain"] == 0
    exhausted = market.run(60)
    assert exhausted.replicas["spot"] == 0
    assert exhausted.replicas["plain"] >= 9
    trial = market.run(240)
    assert trial.replicas["spot"] == 1
    assert trial.replicas["plain"] >= 9
    waits = market.run(240)
    assert waits.replicas["spot"] == 0
    assert Cause.BACK_OFF in {each.cause for each in waits.reasons}
    market.has_spot = True
    both = [market.step() for _ in range(150)]
    assert all(each.replicas["plain"] + each.replicas["spot"] >= 9 for each in both)
    assert both[-1].replicas["spot"] >= 9
    assert both[-1].replicas["plain"] == 0


def test_back_off_doubles_when_the_pool_stays_exhausted() -> None:
    market = _market()
    market.has_spot = False
    told = []
    for _ in range(600):
        told += [
            each.numbers["back_off_seconds"]
            for each in market.step().reasons
            if each.cause is Cause.EXHAUSTED and "back_off_seconds" in each.numbers
        ]
    assert told[:4] == [240.0, 480.0, 960.0, 1920.0]


def test_cost_stays_below_the_cap_when_more_is_needed() -> None:
    market = _market(max_cost_per_hour=6.5)
    decision = market.run(600)
    assert decision.replicas == {"spot": 6, "plain": 0}
    assert Cause.COST_CAP in {each.cause for each in decision.reasons}


def test_the_next_pool_takes_the_rest_when_the_first_is_full() -> None:
    market = Market(settings(pool("spot", max_pods=4), pool("plain")))
    decision = market.run(600)
    assert decision.replicas["spot"] == 4
    assert decision.replicas["plain"] >= 5


def test_a_cap_below_the_minimum_is_refused_when_settings_are_made() -> None:
    with pytest.raises(ValueError, match="max_cost_per_hour"):
        settings(pool(min_pods=3, price_per_hour=2.0), max_cost_per_hour=5.0)
