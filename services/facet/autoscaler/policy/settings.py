"""Settings of the policy; docs/autoscaling.md tells how each constant follows."""

from __future__ import annotations

from dataclasses import dataclass, field

from facet.autoscaler.coefficients import ServiceCoefficients


@dataclass(frozen=True)
class PoolSettings:
    """A pool of equal pods.

    `coefficients`, `max_sequences` and `startup_seconds` count until they are measured.
    `price_per_hour` is a pod's, in the unit of `PolicySettings.max_cost_per_hour`. `gpus` is what a
    pod holds.
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

    @property
    def patience_seconds(self) -> float:
        """How long a pod may look for a node before the pool counts as exhausted."""
        return self.startup_seconds / 2


@dataclass(frozen=True)
class SloSettings:
    """What is promised. TTFT from acceptance; `attainment` is the share that must be within it.

    `standard_ttft_seconds` is the same for STANDARD; BATCH is drained within
    `batch_drain_seconds`. A token follows the one before within `inter_token_seconds`.
    """

    interactive_ttft_seconds: float = 2.0
    standard_ttft_seconds: float = 10.0
    batch_drain_seconds: float = 3600.0
    inter_token_seconds: float = 0.2
    attainment: float = 0.99


@dataclass(frozen=True)
class PolicySettings:
    """`pools` in order of preference. `interval_seconds` is how often it is decided.

    `head_room` is capacity kept free beyond what is needed, as a share of it: it buys flash crowds.
    `max_cost_per_hour` 0 is no cap. `idle_seconds` without any work lead to the minimum, which may
    be zero. Within one start-up time the size grows to at most `1 + max_surge` times the smallest
    it had, and falls by at most the share `max_shrink` of the largest. A writer of replicas that
    ignores changes of up to the share `tolerance`, as an HPA does, is asked for just more.

    Errors: ValueError when the minimum of the pools costs more than the cap, or bounds cross.
    """

    pools: tuple[PoolSettings, ...]
    model: str = "default"
    slo: SloSettings = field(default_factory=SloSettings)
    interval_seconds: float = 10.0
    head_room: float = 0.0
    idle_seconds: float = 600.0
    max_cost_per_hour: float = 0.0
    max_surge: float = 9.0
    max_shrink: float = 0.9
    tolerance: float = 0.1

    def __post_init__(self) -> None:
        if not self.pools:
            raise ValueError("pools: at least one is needed")
        for pool in self.pools:
            if not 0 <= pool.min_pods <= pool.max_pods:
                raise ValueError(f"pool {pool.name}: min_pods must be within 0 and max_pods")
            if pool.startup_seconds <= 0 or pool.max_sequences < 1:
                raise ValueError(f"pool {pool.name}: start-up time and sequences must be positive")
        least = sum(pool.min_pods * pool.price_per_hour for pool in self.pools)
        if 0 < self.max_cost_per_hour < least:
            raise ValueError(
                f"max_cost_per_hour {self.max_cost_per_hour} is below what the pools' min_pods"
                f" cost, {least}: lower them or raise the cap"
            )

    @property
    def min_pods(self) -> int:
        """What all pools together have at least."""
        return sum(pool.min_pods for pool in self.pools)
