"""What the policy remembers between decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from facet.autoscaler.policy.forecasting import Forecaster
from facet.autoscaler.work import Work


@dataclass(frozen=True)
class PoolMemory:
    """A pool's stock of nodes. Until `exhausted_until_seconds` nothing more is asked of it.

    `back_off_seconds` is how long it will be left alone the next time; `is_on_trial`: one pod is
    to show that there are nodes again.
    """

    exhausted_until_seconds: float = 0.0
    back_off_seconds: float = 0.0
    is_on_trial: bool = False


@dataclass(frozen=True)
class Sized:
    """Decisions of about one time: the most pods wanted (before stabilisation), and the least and
    the most that were given. In pods of the first pool's speed.
    """

    at_seconds: float
    wanted: int
    least: int
    most: int


@dataclass(frozen=True)
class Gathered:
    """Arrivals that are not part of the forecast yet: INTERACTIVE, and with STANDARD together."""

    seconds: float = 0.0
    served: Work = field(default_factory=Work)
    urgent: Work = field(default_factory=Work)


@dataclass(frozen=True)
class PolicyState:
    """Opaque to callers: kept, stored (`stored_state`) and handed back.

    `at_seconds` None: nothing was decided yet. `replicas` is the last decision, `last_size` the
    same in pods of the first pool's speed, before stock and cost. `mix` is what
    arrived lately of INTERACTIVE and STANDARD, older work counting less; `urgent` is the
    INTERACTIVE part of it, and `recent` the same with a shorter memory. `gpu_seconds` by tenant are
    totals since the state began, "" for what served nobody. `margin` is room kept on top since SLOs
    burnt, a share of what is needed. `occupied` and `expected` are decayed sums of the load as the
    busy sequences show it and as arrivals promised it, in pods.
    """

    at_seconds: float | None = None
    replicas: Mapping[str, int] = field(default_factory=dict)
    forecaster: Forecaster = field(default_factory=Forecaster)
    mix: Work = field(default_factory=Work)
    recent: Work = field(default_factory=Work)
    urgent: Work = field(default_factory=Work)
    gathered: Gathered = field(default_factory=Gathered)
    history: tuple[Sized, ...] = ()
    last_size: int = 0
    pools: Mapping[str, PoolMemory] = field(default_factory=dict)
    last_work_seconds: float | None = None
    margin: float = 0.0
    occupied: float = 0.0
    expected: float = 0.0
    gpu_seconds: Mapping[str, float] = field(default_factory=dict)
