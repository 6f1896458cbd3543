"""The policy itself, through KEDA's external scaler and the HPA, as the chart sets them up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from facet.autoscaler.coefficients import ServiceCoefficients
from facet.autoscaler.decision import Decision
from facet.autoscaler.learned_coefficients import LearnedCoefficients
from facet.autoscaler.policy import (
    PolicySettings,
    PolicyState,
    PoolSettings,
    SloSettings,
    decide,
)
from facet.autoscaler.work import Modality
from facet.simulator.measures import Window
from facet.simulator.pod_model import PodModel
from facet.simulator.scaling.hpa import (
    SYNC_SECONDS,
    TOLERANCE,
    UNSMOOTHED,
    Behavior,
    Stabiliser,
    replicas_for_total,
)
from facet.simulator.scaling.port import Cluster
from facet.simulator.scaling.signal_reading import SignalReader

POLLING_SECONDS = 10.0
"""`pollingInterval` of the chart's ScaledObject."""

_PUSH_SECONDS = 0.2
"""StreamIsActive tells KEDA within so long of the first request."""


@dataclass(frozen=True)
class PoolOfPods:
    """A pool that the policy may use."""

    name: str
    is_spot: bool = False
    price_per_hour: float = 1.0


def coefficients_of(model: PodModel) -> ServiceCoefficients:
    """What a profile promises of such a pod: the model's own figures at a full batch."""
    full = model.max_sequences
    factor = model.step_seconds[full] / (
        model.step_base_seconds + full * model.step_sequence_seconds
    )
    return ServiceCoefficients(
        prefill_token_seconds=dict.fromkeys(Modality, model.prefill_token_seconds),
        step_base_seconds=model.step_base_seconds * factor,
        step_sequence_seconds=model.step_sequence_seconds * factor,
        tokens_per_step=model.tokens_per_step[full],
    )


@dataclass
class FacetPolicy:
    """Decides every `interval_seconds`; the HPA takes the last decision at each of its syncs.

    Coefficients and start-up times are learned on the way. From zero it decides at once.
    """

    model: PodModel
    pools: Sequence[PoolOfPods]
    min_pods: int
    max_pods: int
    cold_start_seconds: float
    ttft_slo_seconds: float
    learned: dict[str, LearnedCoefficients] = field(default_factory=dict)

    def begin(self, cluster: Cluster, pods: int) -> None:
        """See `Scaler.begin`."""
        self._cluster = cluster
        self._state = PolicyState()
        self._decision: Decision | None = None
        self._is_woken = False
        self._settings = self._policy_settings()
        first = self.pools[0].name
        prior = coefficients_of(self.model)
        self.learned = {pool.name: LearnedCoefficients.starting(prior) for pool in self.pools}
        window = cluster.measures.window = Window()
        self._reader = SignalReader(cluster, window, self.model, self.ttft_slo_seconds)
        behavior = Behavior(1, self.max_pods, **UNSMOOTHED)
        self._stabilisers = {pool.name: Stabiliser(behavior) for pool in self.pools}
        count = max(pods, self.min_pods)
        cluster.fleet.begin_with(first, count)
        self._every(self._settings.interval_seconds, self._decide)
        self._every(SYNC_SECONDS, self._sync)
        self._every(POLLING_SECONDS, self._poll)

    def woken(self) -> None:
        """See `Scaler.woken`."""
        if not self._is_woken:
            self._is_woken = True
            self._cluster.kernel.after(_PUSH_SECONDS, self._wake)

    def _policy_settings(self) -> PolicySettings:
        pools = tuple(
            PoolSettings(
                pool.name,
                max_sequences=self.model.max_sequences,
                startup_seconds=self.cold_start_seconds,
                coefficients=coefficients_of(self.model),
                min_pods=self.min_pods if pool is self.pools[0] else 0,
                max_pods=self.max_pods,
                price_per_hour=pool.price_per_hour,
                is_spot=pool.is_spot,
            )
            for pool in self.pools
        )
        return PolicySettings(pools, slo=SloSettings(self.ttft_slo_seconds))

    def _every(self, seconds: float, act: Callable[[], None]) -> None:
        def run() -> None:
            act()
            self._cluster.kernel.after(seconds, run)

        self._cluster.kernel.after(seconds, run)

    def _wake(self) -> None:
        self._decide()
        self._poll()
        self._is_woken = False

    def _decide(self) -> None:
        signals, timings = self._reader.read(self.learned)
        for pool, timing in timings:
            self.learned[pool] = self.learned[pool].observed(timing)
        self._decision, self._state = decide(signals, self._state, self._settings)

    def _poll(self) -> None:
        """KEDA's own part: from zero to one, and with a cooldown of 0 back to it."""
        for pool in self.pools:
            current, wanted = self._cluster.fleet.wanted(pool.name), self._wanted(pool.name)
            if current == 0 < wanted:
                self._cluster.resize(pool.name, 1)
            elif wanted == 0 < current and not self._is_blind:
                self._cluster.resize(pool.name, 0)

    def _sync(self) -> None:
        """The HPA's part: the metric is the decision, its target 1."""
        for pool in self.pools:
            current, wanted = self._cluster.fleet.wanted(pool.name), self._wanted(pool.name)
            if current == 0 or self._is_blind:
                continue
            wish = replicas_for_total(wanted, 1.0, current, TOLERANCE)
            now = self._cluster.kernel.now
            size = self._stabilisers[pool.name].replicas(wish, current, now)
            self._cluster.resize(pool.name, size)

    @property
    def _is_blind(self) -> bool:
        return self._decision is None or self._decision.is_blind

    def _wanted(self, pool: str) -> int:
        if self._decision is None:
            return self._cluster.fleet.wanted(pool)
        return self._decision.replicas[pool]
