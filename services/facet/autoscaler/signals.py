"""What the policy looks at: typed readings, each with its age and how long it may be trusted.

The policy reads no clock: `Signals.at_seconds` is the store's time of the decision. Readers of
Redis, Prometheus and the Kubernetes API fill these, and so does the simulator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from facet.autoscaler.coefficients import ServiceCoefficients
from facet.autoscaler.work import Work
from facet.queue.values import Priority

Value = TypeVar("Value")


@dataclass(frozen=True)
class Reading(Generic[Value]):
    """A signal: `value` as it was `age_seconds` ago, to be trusted for `valid_seconds` from then.

    A value of None was never read, whatever its age.
    """

    value: Value | None = None
    age_seconds: float = 0.0
    valid_seconds: float = math.inf

    @property
    def current(self) -> Value | None:
        """The value, None where it is missing or older than its bound."""
        return self.value if 0 <= self.age_seconds <= self.valid_seconds else None


@dataclass(frozen=True)
class WaitingWork:
    """What waits in one class; `oldest_seconds` is the age of the oldest, 0 when nothing waits."""

    work: Work = field(default_factory=Work)
    oldest_seconds: float = 0.0


@dataclass(frozen=True)
class LeasedWork:
    """What workers hold: requests, and the tokens that they are still expected to give.

    `by_tenant` holds requests; it is what pod time is accounted by. Tenants beyond the reader's
    bound are in "other".
    """

    requests: int = 0
    remaining_tokens: float = 0.0
    by_tenant: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrivals:
    """What was accepted in the `interval_seconds` that ended when it was read, by class.

    Successive readings neither overlap nor leave a gap, unless `Reading.age_seconds` tells so.
    """

    interval_seconds: float
    classes: Mapping[Priority, Work]


@dataclass(frozen=True)
class WorkerLoad:
    """A worker's last heartbeat. `kv_use` is a share of its KV cache, None where it is not told."""

    name: str
    pool: str
    running: int
    capacity: int
    kv_use: float | None = None
    is_draining: bool = False
    tokens_per_step: float | None = None


class Phase(StrEnum):
    """What a pod is at. Only `READY` pods serve; those before it will."""

    UNSCHEDULABLE = "unschedulable"
    PULLING = "pulling"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    TERMINATING = "terminating"


@dataclass(frozen=True)
class Pod:
    """A pod; `age_seconds` since it was created, `phase_seconds` since it entered its phase."""

    name: str
    pool: str
    phase: Phase
    age_seconds: float
    phase_seconds: float


@dataclass(frozen=True)
class StartUp:
    """Measured time from creating a pod to its readiness: mean and standard deviation.

    Time without a node (UNSCHEDULABLE beyond what the provider takes for one) is not in it.
    """

    mean_seconds: float
    deviation_seconds: float = 0.0
    samples: int = 1


@dataclass(frozen=True)
class Latency:
    """Percentiles of one class over the reader's window, None where nothing ended in it.

    `within_slo` is the share of requests whose first token came within the TTFT SLO. Times between
    tokens are those of all classes together.
    """

    ttft_p50_seconds: float | None = None
    ttft_p99_seconds: float | None = None
    inter_token_p99_seconds: float | None = None
    within_slo: float | None = None


@dataclass(frozen=True)
class Signals:
    """All that a decision is taken from. `at_seconds` never runs backwards between decisions.

    Required for any change of size: `queue`, `leased` and `pods`. `startup` and `coefficients`
    are keyed by pool and fall back to what the pool's settings say; without `arrivals` there is no
    forecast and the size never falls; `workers` and `latency` only refine.
    """

    at_seconds: float
    queue: Reading[Mapping[Priority, WaitingWork]] = Reading()
    leased: Reading[LeasedWork] = Reading()
    arrivals: Reading[Arrivals] = Reading()
    workers: Reading[tuple[WorkerLoad, ...]] = Reading()
    pods: Reading[tuple[Pod, ...]] = Reading()
    startup: Reading[Mapping[str, StartUp]] = Reading()
    latency: Reading[Mapping[Priority, Latency]] = Reading()
    coefficients: Reading[Mapping[str, ServiceCoefficients]] = Reading()
