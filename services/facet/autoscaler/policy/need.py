"""How many pods the load asks for, before anything limits it. In pods of the first pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from facet.autoscaler.decision import Cause, Reason
from facet.autoscaler.policy.burning import PLANNED
from facet.autoscaler.policy.capacity import Capacity
from facet.autoscaler.policy.forecasting import Forecast
from facet.autoscaler.policy.settings import PolicySettings
from facet.autoscaler.policy.staffing import Demand, places_for
from facet.autoscaler.policy.state import PolicyState
from facet.autoscaler.signals import WaitingWork
from facet.autoscaler.work import Work
from facet.queue.values import Priority

_LEAST_WAIT = 0.1
"""Share of a TTFT SLO that may be waited, where the prompt alone takes more than the rest."""

_TRACE = 1e-6
"""Fewer requests than these tell nothing of the mean one."""


@dataclass(frozen=True)
class Supply:
    """Pods, in pods of the first pool: those that serve, and when others will, in seconds."""

    serving: float
    coming: tuple[tuple[float, float], ...]
    horizon_seconds: float


@dataclass(frozen=True)
class Need:
    """Pods wanted, with the reasons that raised it. `is_least`: it is the load without any room."""

    pods: float
    is_least: bool
    reasons: tuple[Reason, ...]

    @property
    def has_backlog(self) -> bool:
        """Whether work will be left over that pods which serve and start do not get done."""
        return any(each.cause is Cause.BACKLOG for each in self.reasons)


@dataclass(frozen=True)
class Load:
    """What there is to do: what waits, what runs, and what is expected."""

    waiting: Mapping[Priority, WaitingWork]
    leased_requests: int
    forecast: Forecast


def need_of(
    load: Load, state: PolicyState, capacity: Capacity, supply: Supply, settings: PolicySettings
) -> Need:
    """What forecast, backlog, batch work and leased work ask for together."""
    waiting, forecast = load.waiting, load.forecast
    batch = waiting.get(Priority.BATCH, WaitingWork())
    misses = (1 - settings.slo.attainment) * PLANNED
    demand = demand_of(forecast, state, capacity, settings, is_filled=batch.work.requests > 0)
    staffed = places_for(demand, misses) / capacity.batch
    staffed *= 1 + settings.head_room + state.margin
    is_least = staffed <= forecast.most
    staffed = max(staffed, forecast.most)
    reasons = []
    if staffed > 0:
        numbers = {
            "load_pods": demand.load / capacity.batch,
            "error_share": forecast.error,
            "peakedness": demand.peakedness,
            "residence_seconds": demand.residence_seconds,
            "pods": staffed,
        }
        reasons.append(Reason(Cause.FORECAST, numbers=numbers))
    pods = staffed
    backlog = _pod_seconds(waiting, (Priority.INTERACTIVE, Priority.STANDARD), capacity)
    left = _backlog_at_horizon(backlog, forecast, supply)
    if left > 0:
        pods += left / supply.horizon_seconds
        numbers = {"pod_seconds": backlog, "pod_seconds_at_horizon": left, "pods": pods}
        reasons.append(Reason(Cause.BACKLOG, numbers=numbers))
    if batch.work.requests > 0:
        remaining = settings.slo.batch_drain_seconds - batch.oldest_seconds
        seconds = capacity.pod_seconds(batch.work)
        wanted = forecast.most + seconds / max(remaining, supply.horizon_seconds)
        if wanted > pods:
            pods = wanted
            numbers = {"pod_seconds": seconds, "remaining_seconds": remaining, "pods": pods}
            reasons.append(Reason(Cause.BATCH, numbers=numbers))
    # Workers hold more than they have seats for: what is leased keeps pods, and never adds one.
    held = min(supply.serving, load.leased_requests / capacity.sequences)
    if held > pods:
        pods = held
        reasons.append(
            Reason(Cause.LEASED, numbers={"requests": load.leased_requests, "pods": pods})
        )
    return Need(pods, is_least, tuple(reasons))


def demand_of(
    forecast: Forecast,
    state: PolicyState,
    capacity: Capacity,
    settings: PolicySettings,
    *,
    is_filled: bool,
) -> Demand:
    """The forecast load as sequences of full batches, with what may be waited."""
    mix = one_request(state.mix)
    seconds = capacity.pod_seconds(mix)
    residence = seconds * capacity.batch
    total = capacity.pod_seconds(state.mix)
    urgent_share = capacity.pod_seconds(state.urgent) / total if total > 0 else 1.0
    prompt = capacity.coefficients.prefill_base_seconds
    prompt += capacity.coefficients.prompt_seconds(mix)
    slo = settings.slo
    load = forecast.most * capacity.batch
    return Demand(
        load=load,
        urgent=load * urgent_share,
        urgent_wait_seconds=_wait(slo.interactive_ttft_seconds, prompt),
        wait_seconds=_wait(slo.standard_ttft_seconds, prompt),
        residence_seconds=residence,
        peakedness=(1 + state.forecaster.count_noise) / 2,
        slowing=capacity.slowing(mix),
        error=forecast.error,
        is_filled=is_filled,
    )


def _wait(slo_seconds: float, prompt_seconds: float) -> float:
    return max(slo_seconds - prompt_seconds, _LEAST_WAIT * slo_seconds)


def one_request(mix: Work) -> Work:
    """The mean request of a mix."""
    return mix.scaled(1 / mix.requests) if mix.requests > _TRACE else Work()


def _pod_seconds(
    waiting: Mapping[Priority, WaitingWork], classes: tuple[Priority, ...], capacity: Capacity
) -> float:
    return sum(capacity.pod_seconds(waiting[each].work) for each in classes if each in waiting)


def _backlog_at_horizon(backlog: float, forecast: Forecast, supply: Supply) -> float:
    """What of the backlog is left when a pod that is ordered at once serves, in pod seconds."""
    horizon, pods, now = supply.horizon_seconds, supply.serving, 0.0
    for at, more in (*sorted(supply.coming), (horizon, 0.0)):
        until = min(at, horizon)
        middle = (now + until) / 2 / horizon
        load = forecast.near + (forecast.far - forecast.near) * middle
        backlog = max(0.0, backlog + (load - pods) * (until - now))
        pods, now = pods + more, until
    return backlog
