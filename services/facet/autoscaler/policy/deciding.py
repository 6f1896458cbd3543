"""One decision from signals, state and settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from facet.autoscaler.decision import Cause, Decision, Reason
from facet.autoscaler.policy.burning import margin_after
from facet.autoscaler.policy.capacity import Capacity, capacities, serving_pods
from facet.autoscaler.policy.learning import Lesson, effort_of, learned
from facet.autoscaler.policy.need import Load, Need, Supply, need_of, one_request
from facet.autoscaler.policy.pools import Stock, allocate, most_of, remember
from facet.autoscaler.policy.settings import PolicySettings
from facet.autoscaler.policy.stabilising import noticed, remembered, stabilised
from facet.autoscaler.policy.state import PolicyState, PoolMemory, Sized
from facet.autoscaler.signals import Arrivals, LeasedWork, Phase, Pod, Signals, WaitingWork
from facet.queue.values import Priority

_SUPPLIED = 0.8
"""Share of the ordered pods from which on misses tell of the order, not of pods that are late."""
_LONG = 1e9
"""Seconds that stand for ever in what is told."""


@dataclass(frozen=True)
class _Seen:
    """The signals that every decision needs, all valid."""

    now: float
    waiting: Mapping[Priority, WaitingWork]
    leased: LeasedWork
    pods: tuple[Pod, ...]
    arrivals: Arrivals | None

    @property
    def has_work(self) -> bool:
        waiting = sum(each.work.requests for each in self.waiting.values())
        arrived = (
            sum(each.requests for each in self.arrivals.classes.values()) if self.arrivals else 0
        )
        return waiting + self.leased.requests + arrived > 0


def decide(
    signals: Signals, state: PolicyState, settings: PolicySettings
) -> tuple[Decision, PolicyState]:
    """Replicas by pool with reasons, and what to remember. Pure; never raises for odd signals.

    Without a valid queue, leased work or pods the last sizes are held (`Decision.is_blind`), and
    what was learned stays as it was.
    """
    queue, leased, pods = signals.queue.current, signals.leased.current, signals.pods.current
    if queue is None or leased is None or pods is None:
        return _hold(signals, state, settings)
    seen = _Seen(signals.at_seconds, queue, leased, pods, signals.arrivals.current)
    found, unmeasured = capacities(signals, settings)
    first = found[0]
    horizon = first.startup_seconds + first.startup_deviation_seconds + settings.interval_seconds
    state = _begun(seen, state, horizon)
    since = 0.0 if state.at_seconds is None else max(0.0, seen.now - state.at_seconds)
    stocks, memories, stock_reasons = _stocks(signals, seen, state, found, settings)
    supply = _supply(seen, stocks, horizon)
    lesson = Lesson(
        since, seen.pods, seen.leased, seen.arrivals, _load_pods(seen, state, supply, first)
    )
    state, expected = learned(lesson, state, first, horizon, settings)
    effort = effort_of(state)
    first = replace(first, effort=effort)
    expected = replace(expected, near=expected.near * effort, far=expected.far * effort)
    need = need_of(
        Load(seen.waiting, seen.leased.requests, expected), state, first, supply, settings
    )
    state, burning = _burnt(signals, state, need, supply, settings)
    size, state, reasons = _size(seen, state, need, horizon, settings)
    replicas, pool_reasons = allocate(size, stocks, state.replicas, settings)
    decision = Decision(
        seen.now,
        replicas,
        (*unmeasured, *burning, *stock_reasons, *need.reasons, *reasons, *pool_reasons),
    )
    return decision, replace(state, at_seconds=seen.now, replicas=replicas, pools=memories)


def _burnt(
    signals: Signals,
    state: PolicyState,
    need: Need,
    supply: Supply,
    settings: PolicySettings,
) -> tuple[PolicyState, tuple[Reason, ...]]:
    """The margin after what is seen of first tokens.

    That tells of sizes only where the pods serve that were asked for a start-up time ago, from a
    forecast whose errors are known, and no backlog is left from before.
    """
    horizon = supply.horizon_seconds
    since_ordered = signals.at_seconds - horizon
    orders = (each.least for each in state.history if each.at_seconds >= since_ordered)
    has_pods = supply.serving >= _SUPPLIED * min(orders, default=0)
    if not state.forecaster.errors or not has_pods or need.has_backlog:
        return state, ()
    since = 0.0 if state.at_seconds is None else max(0.0, signals.at_seconds - state.at_seconds)
    most = math.ceil(need.pods) * (1 + settings.tolerance)
    margin, reasons = margin_after(
        state.margin,
        signals.latency.current or {},
        since / horizon,
        settings.slo,
        has_surplus=need.is_least or supply.serving > most,
    )
    return replace(state, margin=margin), reasons


def _begun(seen: _Seen, state: PolicyState, horizon: float) -> PolicyState:
    """At first, and after a start-up time of blindness, what is there counts as wanted till now."""
    is_known = any(each.at_seconds >= seen.now - horizon for each in state.history)
    if seen.has_work or (not is_known and seen.pods):
        state = replace(state, last_work_seconds=seen.now)
    if is_known:
        return state
    there = dict(state.replicas)
    if state.at_seconds is None:
        for pod in seen.pods:
            if pod.phase is not Phase.TERMINATING:
                there[pod.pool] = there.get(pod.pool, 0) + 1
    size = state.last_size if state.at_seconds is not None else sum(there.values())
    history = (Sized(seen.now, size, size, size),)
    return replace(state, replicas=there, history=history, last_size=size)


def _hold(
    signals: Signals, state: PolicyState, settings: PolicySettings
) -> tuple[Decision, PolicyState]:
    missing = [
        name
        for name, reading in (
            ("queue", signals.queue),
            ("leased", signals.leased),
            ("pods", signals.pods),
        )
        if reading.current is None
    ]
    replicas = {
        pool.name: max(pool.min_pods, state.replicas.get(pool.name, 0)) for pool in settings.pools
    }
    reasons = tuple(Reason(Cause.BLIND, detail=name) for name in missing)
    return Decision(signals.at_seconds, replicas, reasons, is_blind=True), state


def _stocks(
    signals: Signals,
    seen: _Seen,
    state: PolicyState,
    found: Sequence[Capacity],
    settings: PolicySettings,
) -> tuple[tuple[Stock, ...], dict[str, PoolMemory], tuple[Reason, ...]]:
    """What each pool has and may have, and what is remembered of its stock."""
    stocks: list[Stock] = []
    memories: dict[str, PoolMemory] = {}
    reasons: list[Reason] = []
    reference = found[0].pod_seconds(state.mix)
    for each in found:
        pool = each.settings
        pods = [pod for pod in seen.pods if pod.pool == pool.name]
        memory, told = remember(
            pool,
            each.startup_seconds,
            pods,
            state.pools.get(pool.name, PoolMemory()),
            seen.now,
        )
        memories[pool.name] = memory
        reasons += told
        lost = (Phase.UNSCHEDULABLE, Phase.TERMINATING)
        placed = sum(1 for pod in pods if pod.phase not in lost)
        own = each.pod_seconds(state.mix)
        stocks.append(
            Stock(
                each,
                placed,
                serving_pods(signals, pool.name),
                most_of(pool, memory, placed, seen.now),
                reference / own if own > 0 and reference > 0 else 1.0,
            )
        )
    return tuple(stocks), memories, tuple(reasons)


def _supply(seen: _Seen, stocks: Sequence[Stock], horizon: float) -> Supply:
    """Pods that serve, and those that will, when their pool's start-up time has passed.

    A pod that looks for a node no longer than its pool's patience counts as one that will.
    """
    by_pool = {each.capacity.settings.name: each for each in stocks}
    coming = []
    for pod in seen.pods:
        stock = by_pool.get(pod.pool)
        if stock is None or pod.phase in (Phase.READY, Phase.TERMINATING):
            continue
        has_no_node = pod.phase is Phase.UNSCHEDULABLE
        if has_no_node and pod.phase_seconds > stock.capacity.settings.patience_seconds:
            continue
        left = max(0.0, stock.capacity.startup_seconds - pod.age_seconds)
        coming.append((left, stock.speed))
    serving = sum(each.serving * each.speed for each in stocks)
    return Supply(serving, tuple(coming), horizon)


def _load_pods(seen: _Seen, state: PolicyState, supply: Supply, first: Capacity) -> float | None:
    """The load that the busy sequences show; None while work waits, or no sequence is free.

    A request stays the shorter the emptier its pod is: the share of a full pod's rate is
    u / (g + (1 - g) * u) where the share u of its sequences is busy and the share g of a full
    batch's residence is left in an empty pod.
    """
    if supply.serving <= 0 or any(each.work.requests > 0 for each in seen.waiting.values()):
        return None
    busy = seen.leased.requests / first.batch / supply.serving
    if busy >= 1:
        return None
    slowing = first.slowing(one_request(state.mix))
    return supply.serving * busy / (slowing + (1 - slowing) * busy)


def _size(
    seen: _Seen, state: PolicyState, need: Need, horizon: float, settings: PolicySettings
) -> tuple[int, PolicyState, tuple[Reason, ...]]:
    """Pods of the first pool's speed, within limits over time, and the state that knows them."""
    reasons: list[Reason] = []
    idle = math.inf if state.last_work_seconds is None else seen.now - state.last_work_seconds
    history = tuple(each for each in state.history if each.at_seconds >= seen.now - horizon)
    wanted = math.ceil(need.pods - 1e-9)
    if seen.arrivals is None:
        wanted = max(wanted, state.last_size)
        reasons.append(Reason(Cause.BLIND, detail="arrivals"))
    elif not seen.has_work and idle >= settings.idle_seconds:
        reasons.append(Reason(Cause.TO_ZERO, numbers={"idle_seconds": min(idle, _LONG)}))
        zero = Sized(seen.now, 0, 0, 0)
        return 0, replace(state, history=(zero,), last_size=0), tuple(reasons)
    if wanted < 1 and (seen.has_work or idle < settings.idle_seconds):
        wanted = 1
        cause = Cause.FROM_ZERO if seen.has_work else Cause.IDLE
        reasons.append(Reason(cause, numbers={"idle_seconds": idle}))
    given, limits = stabilised(wanted, history, settings)
    there = sum(1 for pod in seen.pods if pod.phase is not Phase.TERMINATING)
    asked, noticing = noticed(given, there, settings)
    apart = settings.interval_seconds / 2
    history = remembered(history, Sized(seen.now, wanted, given, given), apart)
    state = replace(state, history=history, last_size=given)
    return asked, state, (*reasons, *limits, *noticing)
