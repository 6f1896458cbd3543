"""Pods over pools: in order of preference, within stock, bounds and the cap on cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facet.autoscaler.decision import Cause, Reason
from facet.autoscaler.policy.capacity import Capacity
from facet.autoscaler.policy.settings import PolicySettings, PoolSettings
from facet.autoscaler.policy.state import PoolMemory
from facet.autoscaler.signals import Phase, Pod

_MOST_BACK_OFFS = 16
"""Back-off doubles from one start-up time up to so many of them."""
_TINY = 1e-9


@dataclass(frozen=True)
class Stock:
    """A pool as it is found: pods that have a node, those that serve, and how many it may have."""

    capacity: Capacity
    placed: int
    serving: int
    most: int
    speed: float


def remember(
    pool: PoolSettings, startup_seconds: float, pods: Sequence[Pod], memory: PoolMemory, now: float
) -> tuple[PoolMemory, tuple[Reason, ...]]:
    """Whether the pool has nodes: exhausted, on trial, or as usual."""
    lost = [pod for pod in pods if pod.phase is Phase.UNSCHEDULABLE]
    is_stuck = any(pod.phase_seconds > pool.patience_seconds for pod in lost)
    is_backing_off = now < memory.exhausted_until_seconds
    if is_stuck and not is_backing_off:
        seconds = memory.back_off_seconds or startup_seconds
        reason = Reason(Cause.EXHAUSTED, pool.name, numbers={"back_off_seconds": seconds})
        longer = min(2 * seconds, _MOST_BACK_OFFS * startup_seconds)
        return PoolMemory(now + seconds, longer, is_on_trial=True), (reason,)
    if is_backing_off:
        left = memory.exhausted_until_seconds - now
        return memory, (Reason(Cause.BACK_OFF, pool.name, numbers={"left_seconds": left}),)
    if memory.is_on_trial and _has_placed_since(pods, memory.exhausted_until_seconds, now):
        return PoolMemory(), ()
    return memory, ()


def _has_placed_since(pods: Sequence[Pod], since: float, now: float) -> bool:
    """Whether a pod that was ordered in the trial has found a node."""
    return any(
        pod.phase not in (Phase.UNSCHEDULABLE, Phase.TERMINATING) and now - pod.age_seconds >= since
        for pod in pods
    )


def most_of(pool: PoolSettings, memory: PoolMemory, placed: int, now: float) -> int:
    """How many pods it makes sense to ask of the pool."""
    if now < memory.exhausted_until_seconds:
        return min(placed, pool.max_pods)
    if memory.is_on_trial:
        return min(placed + 1, pool.max_pods)
    return pool.max_pods


def allocate(
    pods: float, stocks: Sequence[Stock], last: Mapping[str, int], settings: PolicySettings
) -> tuple[dict[str, int], tuple[Reason, ...]]:
    """Replicas by pool for so many pods of the first pool's speed.

    A later pool is given up only as far as earlier ones serve, not when they are merely ordered.
    """
    reasons: list[Reason] = []
    replicas = {each.capacity.settings.name: each.capacity.settings.min_pods for each in stocks}
    money = settings.max_cost_per_hour or math.inf
    money -= sum(each.capacity.settings.price_per_hour * replicas[_name(each)] for each in stocks)
    ordered, serving = pods, pods
    for each in stocks:
        pool = each.capacity.settings
        wanted = math.ceil(max(0.0, ordered) / each.speed - _TINY)
        kept = math.ceil(max(0.0, serving) / each.speed - _TINY)
        wanted = max(wanted, min(kept, last.get(pool.name, 0), each.placed))
        count = max(pool.min_pods, min(wanted, each.most))
        count, money, is_capped = _afford(count, pool, money)
        if is_capped:
            numbers = {"wanted": wanted, "given": count, "cap": settings.max_cost_per_hour}
            reasons.append(Reason(Cause.COST_CAP, pool.name, numbers=numbers))
        elif wanted > count:
            cause = Cause.MAXIMUM if count == pool.max_pods else Cause.EXHAUSTED
            numbers = {"wanted": wanted, "given": count}
            reasons.append(Reason(cause, pool.name, numbers=numbers))
        elif wanted < count:
            reasons.append(Reason(Cause.MINIMUM, pool.name, numbers={"given": count}))
        replicas[pool.name] = count
        ordered -= count * each.speed
        serving -= min(count, each.serving) * each.speed
    return replicas, tuple(reasons)


def _afford(count: int, pool: PoolSettings, money: float) -> tuple[int, float, bool]:
    """What of `count` can be paid, its minimum being paid for; what is left; whether it was cut."""
    if pool.price_per_hour <= 0 or money == math.inf:
        return count, money, False
    more = count - pool.min_pods
    paid = min(more, math.floor(money / pool.price_per_hour + _TINY))
    return pool.min_pods + paid, money - paid * pool.price_per_hour, paid < more


def _name(stock: Stock) -> str:
    return stock.capacity.settings.name
