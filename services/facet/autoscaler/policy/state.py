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
    """A past decision: pods wanted (before stabilisation) and given, all pools together."""

    at_seconds: float
    wanted: int
    given: int


@dataclass(frozen=True)
class PolicyState:
    """Opaque to callers: kept, stored by `to_json` and handed back.

    `at_seconds` None: nothing was decided yet. `replicas` is the last decision. `mix` is what
    arrived lately of INTERACTIVE and STANDARD, older work counting less; `urgent` the INTERACTIVE
    part of it. `gpu_seconds` by tenant are totals since the state began, "" for what served nobody.
    `strictness` is by how much the share of misses that is planned for was cut since SLOs burn.
    """

    at_seconds: float | None = None
    replicas: Mapping[str, int] = field(default_factory=dict)
    forecaster: Forecaster = field(default_factory=Forecaster)
    mix: Work = field(default_factory=Work)
    urgent: Work = field(default_factory=Work)
    history: tuple[Sized, ...] = ()
    pools: Mapping[str, PoolMemory] = field(default_factory=dict)
    last_work_seconds: float | None = None
    strictness: float = 1.0
    gpu_seconds: Mapping[str, float] = field(default_factory=dict)
