"""GPU seconds by tenant: each instant of every pod goes to those whose requests it ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facet.autoscaler.policy.settings import PolicySettings
from facet.autoscaler.signals import LeasedWork, Phase, Pod

UNUSED = ""
"""The tenant of GPU seconds that served nobody: starting pods, idle ones."""
OTHER = "other"
_MAX_TENANTS = 200
"""Tenants that are told apart; those that come later are accounted as `OTHER`."""


def accounted(
    totals: Mapping[str, float],
    pods: Sequence[Pod],
    leased: LeasedWork,
    seconds: float,
    settings: PolicySettings,
) -> dict[str, float]:
    """Totals after `seconds` in which the pods ran what is leased."""
    gpus = {pool.name: pool.gpus for pool in settings.pools}
    serving = starting = 0
    for pod in pods:
        if pod.phase in (Phase.READY, Phase.TERMINATING):
            serving += gpus.get(pod.pool, 0)
        elif pod.phase is not Phase.UNSCHEDULABLE:
            starting += gpus.get(pod.pool, 0)
    after = dict(totals)
    _add(after, UNUSED, starting * seconds)
    requests = sum(leased.by_tenant.values())
    if requests <= 0:
        _add(after, UNUSED if leased.requests == 0 else OTHER, serving * seconds)
        return after
    for tenant, count in leased.by_tenant.items():
        _add(after, tenant, serving * seconds * count / requests)
    return after


def _add(totals: dict[str, float], tenant: str, seconds: float) -> None:
    if tenant not in totals and len(totals) >= _MAX_TENANTS:
        tenant = OTHER
    totals[tenant] = totals.get(tenant, 0.0) + seconds
