"""Pods that do what was decided, decision after decision."""

from __future__ import annotations

from facet.autoscaler.decision import Cause, Decision
from facet.autoscaler.policy import PolicySettings, PolicyState, decide
from facet.autoscaler.signals import Phase, Pod, Signals
from tests.unit.autoscaler.policy.scene import COEFFICIENTS, COLD_START, INTERVAL, signals, work


class Cluster:
    """Pods that follow decisions at once and serve after the cold start."""

    def __init__(self, chosen: PolicySettings, ready: int = 0) -> None:
        self.settings = chosen
        self.state = PolicyState()
        self.now = 0.0
        self.born = {"first": [-COLD_START] * ready}

    def pods(self) -> list[Pod]:
        found = []
        for name, born in self.born.items():
            for index, at in enumerate(born):
                age = self.now - at
                phase = Phase.READY if age >= COLD_START else Phase.LOADING
                found.append(Pod(f"{name}-{index}", name, phase, age, age))
        return found

    def step(self, **given_signals: float) -> Decision:
        self.now += INTERVAL
        seen = signals(self.now, self.pods(), **given_signals)  # type: ignore[arg-type]
        return self.take(seen)

    def take(self, seen: Signals) -> Decision:
        decision, self.state = decide(seen, self.state, self.settings)
        for name, count in decision.replicas.items():
            born = self.born.get(name, [])
            self.born[name] = born[:count] + [self.now] * (count - len(born))
        return decision


def causes(decision: Decision) -> set[Cause]:
    """All that set or limited its sizes."""
    return {each.cause for each in decision.reasons}


def rate(pods_worth: float) -> float:
    """Requests in an interval that keep so many pods busy."""
    return pods_worth * INTERVAL / COEFFICIENTS.pod_seconds(work(1), 16)
