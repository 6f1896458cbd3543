"""Settings of the policy; docs/autoscaling.md tells how each constant follows."""

from __future__ import annotations

from dataclasses import dataclass, field

from facet.autoscaler.coefficients import ServiceCoefficients


@dataclass(frozen=True)
class PoolSettings:
    """A pool of equal pods.

    `coefficients` and `startup_seconds` count until they are measured. `price_per_hour` is a
    pod's, in the unit of `PolicySettings.max_cost_per_hour`. `gpus` is what a pod holds.
    """

    name: str
    max_sequences: int
    startup_seconds: float
    coefficients: ServiceCoefficients
    min_pods: int = 0
    max_pods: int = 100
    price_per_hour: float = 0.0
    is_spot: bool = False
    gpus: int = 1


@dataclass(frozen=True)
class SloSettings:
    """What is promised. TTFT from acceptance; `attainment` is the share that must be within it.

    `standard_ttft_seconds` is the same for STANDARD; BATCH is drained within
    `batch_drain_seconds`.
    """

    interactive_ttft_seconds: float = 2.0
    standard_ttft_seconds: float = 10.0
    batch_drain_seconds: float = 3600.0
    inter_token_seconds: float = 0.2
    attainment: float = 0.99


@dataclass(frozen=True)
class PolicySettings:
    """`pools` in order of preference. `interval_seconds` is how often it is decided.

    `head_room` is capacity kept free on top, a share of what is needed: it buys flash crowds.
    `max_cost_per_hour` 0 is no cap. `idle_seconds` without work before going to zero.
    """

    pools: tuple[PoolSettings, ...]
    model: str = "default"
    slo: SloSettings = field(default_factory=SloSettings)
    interval_seconds: float = 10.0
    head_room: float = 0.0
    idle_seconds: float = 600.0
    max_cost_per_hour: float = 0.0
