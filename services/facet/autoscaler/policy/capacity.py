"""What one pod of each pool can do, from measured coefficients or, until then, its settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from facet.autoscaler.coefficients import ServiceCoefficients
from facet.autoscaler.decision import Cause, Reason
from facet.autoscaler.policy.settings import PolicySettings, PoolSettings
from facet.autoscaler.signals import Phase, Signals, WorkerLoad
from facet.autoscaler.work import Work

_TELLING_KV_USE = 0.5
"""Below it, what a sequence takes of the KV cache says little about how many would fit."""

_LEAST_SLOWING = 0.1
"""Steps are never wholly in proportion to their batch."""


@dataclass(frozen=True)
class Capacity:
    """A pod of a pool; `startup_seconds` pass until it serves.

    It can hold `sequences`, and `batch` of them within the inter-token SLO. Work was seen to take
    `effort` times what the coefficients say.
    """

    settings: PoolSettings
    coefficients: ServiceCoefficients
    sequences: int
    batch: float
    startup_seconds: float
    startup_deviation_seconds: float
    effort: float = 1.0

    def pod_seconds(self, work: Work) -> float:
        """Seconds that one full pod takes for the work."""
        return self.coefficients.pod_seconds(work, self.batch) * self.effort

    def slowing(self, mix: Work) -> float:
        """The share of a full batch's residence time that is left in an empty pod, above 0."""
        full = self.coefficients.pod_seconds(mix, self.batch) * self.batch
        if full <= 0:
            return 1.0
        steps = mix.output_tokens / self.coefficients.tokens_per_step
        shared = steps * self.coefficients.step_sequence_seconds * self.batch
        return max(_LEAST_SLOWING, 1 - shared / full)


def capacities(
    signals: Signals, settings: PolicySettings
) -> tuple[tuple[Capacity, ...], tuple[Reason, ...]]:
    """By pool, in order of preference, and what had to be taken from the settings."""
    found, reasons = [], []
    measured = signals.coefficients.current or {}
    startups = signals.startup.current or {}
    workers = signals.workers.current or ()
    for pool in settings.pools:
        coefficients = measured.get(pool.name)
        if coefficients is None:
            reasons.append(Reason(Cause.UNMEASURED, pool.name, "coefficients"))
        startup = startups.get(pool.name)
        own = [each for each in workers if each.pool == pool.name and not each.is_draining]
        coefficients = _with_speculation(coefficients or pool.coefficients, own)
        sequences = _sequences(own) or pool.max_sequences
        found.append(
            Capacity(
                pool,
                coefficients,
                sequences,
                coefficients.batch_within(sequences, settings.slo.inter_token_seconds),
                startup.mean_seconds if startup else pool.startup_seconds,
                startup.deviation_seconds if startup else 0.0,
            )
        )
    return tuple(found), tuple(reasons)


def serving_pods(signals: Signals, pool: str) -> int:
    """Pods of the pool that are ready and not draining."""
    draining = {each.name for each in signals.workers.current or () if each.is_draining}
    return sum(
        1
        for pod in signals.pods.current or ()
        if pod.pool == pool and pod.phase is Phase.READY and pod.name not in draining
    )


def _with_speculation(
    coefficients: ServiceCoefficients, workers: Iterable[WorkerLoad]
) -> ServiceCoefficients:
    """With the tokens a step that the workers see just now, weighted by what they run."""
    told = [
        (each.running, each.tokens_per_step)
        for each in workers
        if each.tokens_per_step is not None and each.running > 0
    ]
    running = sum(count for count, _ in told)
    if not running:
        return coefficients
    return replace(
        coefficients, tokens_per_step=max(1.0, sum(n * tokens for n, tokens in told) / running)
    )


def _sequences(workers: list[WorkerLoad]) -> int:
    """Sequences that a worker has room for on average: by its own word and by its KV cache."""
    rooms = []
    for each in workers:
        room = float(each.capacity)
        if each.running and each.kv_use is not None and each.kv_use > _TELLING_KV_USE:
            room = min(room, max(1.0, each.running / each.kv_use))
        rooms.append(room)
    return round(sum(rooms) / len(rooms)) if rooms else 0
