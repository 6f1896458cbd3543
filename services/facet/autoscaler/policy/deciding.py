"""One decision from signals, state and settings."""

from __future__ import annotations

from facet.autoscaler.decision import Cause, Decision, Reason
from facet.autoscaler.policy.settings import PolicySettings
from facet.autoscaler.policy.state import PolicyState
from facet.autoscaler.signals import Signals


def decide(
    signals: Signals, state: PolicyState, settings: PolicySettings
) -> tuple[Decision, PolicyState]:
    """Replicas by pool with reasons, and what to remember. Pure; never raises for odd signals."""
    replicas = {pool.name: pool.min_pods for pool in settings.pools}
    reasons = (Reason(Cause.BLIND),)
    return Decision(signals.at_seconds, replicas, reasons, is_blind=True), state
