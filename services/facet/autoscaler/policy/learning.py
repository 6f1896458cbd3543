"""What a decision teaches: what arrives and how much of it, and who used the pods."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from facet.autoscaler.policy.accounting import accounted
from facet.autoscaler.policy.capacity import Capacity
from facet.autoscaler.policy.forecasting import Forecast, forecast, observe
from facet.autoscaler.policy.settings import PolicySettings
from facet.autoscaler.policy.state import Gathered, PolicyState
from facet.autoscaler.signals import Arrivals, LeasedWork, Pod
from facet.autoscaler.work import Work
from facet.queue.values import Priority

_MIX_MEMORY = 4.0
"""Memory of what a request is like, in horizons."""
_OUTPUT_MEMORY = 1 / 8
"""Memory of how long answers are, in horizons: the queue's own mean is of a few dozen answers."""
_EFFORT_MEMORY = 2.0
"""Memory of the effort, in horizons: a few hundred times what a request stays."""
_MOST_EFFORT = 2.0
"""Coefficients that are further off are a fault, which the margin and people have to see."""
_TRACE = 1e-6
"""Fewer requests than these are none: silence leaves what is known of requests as it is."""
_FULL = 1 / 2
"""Share of the decision interval that arrivals are gathered for: decisions may be pushed, too."""


@dataclass(frozen=True)
class Lesson:
    """What was seen since the last decision, `since_seconds` ago (0 for the first).

    `load_pods` is the load as busy sequences show it, None where that cannot be told.
    """

    since_seconds: float
    pods: tuple[Pod, ...]
    leased: LeasedWork
    arrivals: Arrivals | None
    load_pods: float | None


def learned(
    lesson: Lesson,
    state: PolicyState,
    first: Capacity,
    horizon_seconds: float,
    settings: PolicySettings,
) -> tuple[PolicyState, Forecast]:
    """The state that knows it, and the forecast for the horizon in pods of the first pool."""
    totals = accounted(
        state.gpu_seconds, lesson.pods, lesson.leased, lesson.since_seconds, settings
    )
    state = replace(state, gpu_seconds=totals)
    gathered = _gathered(state.gathered, lesson.arrivals)
    if gathered.seconds <= _FULL * settings.interval_seconds:
        return replace(state, gathered=gathered), forecast(state.forecaster, horizon_seconds)
    seconds, served = gathered.seconds, gathered.served
    kept = math.exp(-seconds / (_MIX_MEMORY * horizon_seconds))
    kept_outputs = math.exp(-seconds / (_OUTPUT_MEMORY * horizon_seconds))
    state = replace(state, gathered=Gathered())
    if served.requests < _TRACE:
        kept = kept_outputs = 1.0
    state = replace(
        state,
        mix=state.mix.scaled(kept) + served,
        urgent=state.urgent.scaled(kept) + gathered.urgent,
        recent=state.recent.scaled(kept_outputs) + served,
    )
    if state.recent.requests >= _TRACE:
        mean = state.recent.output_tokens / state.recent.requests
        served = replace(served, output_tokens=served.requests * mean)
    rate = first.pod_seconds(served) / seconds
    if lesson.load_pods is not None:
        memory = _EFFORT_MEMORY * horizon_seconds
        kept = math.exp(-seconds / memory)
        # At first the coefficients count as much as all that will be remembered.
        as_told = 0.0 if state.expected else rate * memory
        state = replace(
            state,
            occupied=(state.occupied or as_told) * kept + lesson.load_pods * seconds,
            expected=(state.expected or as_told) * kept + rate * seconds,
        )
    forecaster, expected = observe(
        state.forecaster,
        rate,
        served.requests / seconds,
        seconds,
        horizon_seconds,
    )
    return replace(state, forecaster=forecaster), expected


def effort_of(state: PolicyState) -> float:
    """How much longer work keeps pods busy than the coefficients and expected tokens say."""
    if state.expected <= 0:
        return 1.0
    return min(_MOST_EFFORT, max(1 / _MOST_EFFORT, state.occupied / state.expected))


def _gathered(before: Gathered, arrivals: Arrivals | None) -> Gathered:
    if arrivals is None:
        return before
    urgent = arrivals.classes.get(Priority.INTERACTIVE, Work())
    served = urgent + arrivals.classes.get(Priority.STANDARD, Work())
    return Gathered(
        before.seconds + max(0.0, arrivals.interval_seconds),
        before.served + served,
        before.urgent + urgent,
    )
