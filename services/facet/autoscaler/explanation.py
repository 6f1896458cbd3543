"""A decision as the store keeps it and operators read it, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from google.protobuf.message import DecodeError

from facet.api.v1.admin_service_pb2 import (
    ExplainAutoscalerResponse,
    ScaledPool,
    ScalingReason,
    ScalingSignal,
    ServiceTimes,
)
from facet.autoscaler.coefficients import ServiceCoefficients
from facet.autoscaler.decision import Cause, Decision, Reason
from facet.autoscaler.gathering import readings_of
from facet.autoscaler.policy import PoolSettings
from facet.autoscaler.signals import Pod, Signals


def explained(
    decision: Decision,
    signals: Signals,
    pools: Sequence[PoolSettings],
    gpu_seconds: Mapping[str, float],
) -> ExplainAutoscalerResponse:
    """The decision with what it was taken from; age and model are the reader's."""
    response = ExplainAutoscalerResponse(
        blind=decision.is_blind,
        pools=[_pool(each, decision, signals) for each in pools],
        reasons=[
            ScalingReason(
                cause=each.cause.value, pool=each.pool, detail=each.detail, numbers=each.numbers
            )
            for each in decision.reasons
        ],
        cost_per_hour=sum(
            pool.price_per_hour * decision.replicas.get(pool.name, 0) for pool in pools
        ),
        gpu_seconds=gpu_seconds,
    )
    response.decide_time.FromMilliseconds(round(decision.at_seconds * 1000))
    for name, reading in readings_of(signals).items():
        signal = ScalingSignal(name=name, valid=reading.current is not None)
        if reading.value is not None:
            signal.age.FromMilliseconds(round(reading.age_seconds * 1000))
        response.signals.append(signal)
    return response


def decision_of(serialized: bytes) -> Decision:
    """The decision itself. Causes that this release does not know are left out.

    Errors: ValueError for what is no decision.
    """
    try:
        told = ExplainAutoscalerResponse.FromString(serialized)
    except DecodeError as error:
        raise ValueError("the store's decision: not what was written") from error
    causes = {each.value for each in Cause}
    return Decision(
        at_seconds=told.decide_time.ToMilliseconds() / 1000,
        replicas={each.name: each.desired for each in told.pools},
        reasons=tuple(
            Reason(Cause(each.cause), each.pool, each.detail, dict(each.numbers))
            for each in told.reasons
            if each.cause in causes
        ),
        is_blind=told.blind,
    )


def _pool(pool: PoolSettings, decision: Decision, signals: Signals) -> ScaledPool:
    pods: tuple[Pod, ...] = signals.pods.current or ()
    measured = (signals.coefficients.current or {}).get(pool.name)
    startup = (signals.startup.current or {}).get(pool.name)
    seconds = startup.mean_seconds if startup else pool.startup_seconds
    scaled = ScaledPool(
        name=pool.name,
        desired=decision.replicas.get(pool.name, 0),
        phases=Counter(each.phase.value for each in pods if each.pool == pool.name),
        service_times=_times(measured or pool.coefficients),
        price_per_hour=pool.price_per_hour,
    )
    scaled.startup.FromMilliseconds(round(seconds * 1000))
    return scaled


def _times(coefficients: ServiceCoefficients) -> ServiceTimes:
    return ServiceTimes(
        samples=coefficients.samples,
        prefill_base_seconds=coefficients.prefill_base_seconds,
        prefill_token_seconds={
            kind.value: each for kind, each in coefficients.prefill_token_seconds.items()
        },
        step_base_seconds=coefficients.step_base_seconds,
        step_sequence_seconds=coefficients.step_sequence_seconds,
        tokens_per_step=coefficients.tokens_per_step,
    )
