"""What a replica tells of decisions in its metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping

from opentelemetry.trace import Span

from facet.api.v1.admin_service_pb2 import ExplainAutoscalerResponse, ScaledPool
from facet.autoscaler.current_decision import CurrentDecision
from facet.autoscaler.decision import Decision
from facet.autoscaler.signals import Phase
from facet.core.telemetry import autoscaler_metrics as metrics


def tell_held(current: CurrentDecision, *, is_leading: bool) -> None:
    """How this replica stands after a look at the store."""
    metrics.LEADING.set(is_leading)
    decision = current.decision
    metrics.BLIND.set(decision is None or decision.is_blind)
    metrics.DECISION_AGE.set(current.age_seconds)


def tell_decided(decision: Decision) -> None:
    """Count a decision that this replica took."""
    metrics.DECISIONS.labels("blind" if decision.is_blind else "decided").inc()
    for reason in decision.reasons:
        metrics.REASONS.labels(reason.pool, reason.cause.value).inc()


def tell_span(span: Span, decision: Decision) -> None:
    """The sizes, and an event for each reason."""
    span.set_attribute("facet.scaling.blind", decision.is_blind)
    for pool, count in decision.replicas.items():
        span.set_attribute(f"facet.scaling.replicas.{pool}", count)
    for reason in decision.reasons:
        numbers = {f"facet.scaling.{name}": value for name, value in reason.numbers.items()}
        named = {"facet.pool": reason.pool, "facet.scaling.detail": reason.detail}
        span.add_event(f"scaling {reason.cause.value}", {**named, **numbers})


def tell_explanation(told: ExplainAutoscalerResponse, model: str) -> None:
    """The last decision of a model, whoever took it."""
    for pool in told.pools:
        _tell_pool(pool)
    for signal in told.signals:
        has_age = signal.HasField("age")
        age = signal.age.ToMilliseconds() / 1000 if has_age else math.nan
        metrics.SIGNAL_AGE.labels(signal.name).set(age)
    metrics.COST.set(told.cost_per_hour)
    _tell_gpu_seconds(told.gpu_seconds, model)


def _tell_gpu_seconds(seconds: Mapping[str, float], model: str) -> None:
    for family in metrics.GPU_SECONDS.collect():
        for sample in family.samples:
            if sample.labels["tenant"] not in seconds:
                # The state began anew without this tenant.
                metrics.GPU_SECONDS.remove(sample.labels["model"], sample.labels["tenant"])
    for tenant, each in seconds.items():
        metrics.GPU_SECONDS.labels(model, tenant).set(each)


def _tell_pool(pool: ScaledPool) -> None:
    metrics.DESIRED.labels(pool.name).set(pool.desired)
    for phase in Phase:
        metrics.PODS.labels(pool.name, phase.value).set(pool.phases.get(phase.value, 0))
    metrics.STARTUP.labels(pool.name).set(pool.startup.ToMilliseconds() / 1000)
    times = pool.service_times
    parts = {
        "prefill_base": times.prefill_base_seconds,
        "step_base": times.step_base_seconds,
        "step_sequence": times.step_sequence_seconds,
        **{f"prefill_token_{kind}": each for kind, each in times.prefill_token_seconds.items()},
    }
    for of, seconds in parts.items():
        metrics.COEFFICIENT.labels(pool.name, of).set(seconds)
    metrics.TOKENS_PER_STEP.labels(pool.name).set(times.tokens_per_step)
    metrics.SAMPLES.labels(pool.name).set(times.samples)
