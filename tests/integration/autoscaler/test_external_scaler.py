"""KEDA's calls over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest

from facet.api.externalscaler import external_scaler_service_pb2 as pb
from facet.api.externalscaler.external_scaler_service_pb2_grpc import ExternalScalerStub
from facet.autoscaler.current_decision import VALID_SECONDS, CurrentDecision
from facet.autoscaler.decision import Cause, Decision, Reason
from facet.autoscaler.external_scaler import METRIC, ExternalScaler

pytestmark = pytest.mark.integration

WAIT_SECONDS = 10.0


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def current(clock: Clock) -> CurrentDecision:
    return CurrentDecision(clock=clock)


@pytest.fixture
async def keda(current: CurrentDecision) -> AsyncIterator[Any]:
    server = grpc.aio.server()
    ExternalScaler(current, ("spot", "on-demand")).add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield ExternalScalerStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
    await server.stop(0)


def of(pool: str = "spot") -> pb.ScaledObjectRef:
    return pb.ScaledObjectRef(name="workers", namespace="serving", scalerMetadata={"pool": pool})


def metric(pool: str = "spot", name: str = METRIC) -> pb.GetMetricsRequest:
    return pb.GetMetricsRequest(scaledObjectRef=of(pool), metricName=name)


def decided(spot: int, at_seconds: float = 1.0, *, is_blind: bool = False) -> Decision:
    reasons = (Reason(Cause.BLIND, detail="pods"),) if is_blind else ()
    return Decision(at_seconds, {"spot": spot, "on-demand": 0}, reasons, is_blind=is_blind)


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), refused.value.details() or ""


async def soon(waited: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(waited, WAIT_SECONDS)


async def test_the_metric_is_the_decided_number_when_its_target_is_one(
    keda: Any, current: CurrentDecision
) -> None:
    await current.take(decided(7), 0.0)
    (spec,) = (await keda.GetMetricSpec(of())).metricSpecs
    (value,) = (await keda.GetMetrics(metric())).metricValues

    assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == (METRIC, 1, 1.0)
    assert (value.metricName, value.metricValue, value.metricValueFloat) == (METRIC, 7, 7.0)
    assert (await keda.IsActive(of())).result
    assert not (await keda.IsActive(of("on-demand"))).result


@pytest.mark.parametrize("why", ["none", "blind", "old"])
async def test_replicas_are_held_when_no_decision_is_in_force(
    keda: Any, current: CurrentDecision, clock: Clock, why: str
) -> None:
    if why != "none":
        await current.take(decided(3, is_blind=why == "blind"), 0.0)
    clock.seconds += VALID_SECONDS + 0.1 if why == "old" else 0.0

    for call in (keda.IsActive(of()), keda.GetMetrics(metric())):
        code, details = await refusal(call)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "replicas are held" in details
        assert {"none": "nothing was decided", "blind": "pods", "old": "60 s old"}[why] in details


async def test_age_counts_from_the_decision_when_it_is_read_later(
    keda: Any, current: CurrentDecision, clock: Clock
) -> None:
    await current.take(decided(3), VALID_SECONDS - 1)
    assert (await keda.IsActive(of())).result
    clock.seconds += 1.1
    assert (await refusal(keda.IsActive(of())))[0] is grpc.StatusCode.UNAVAILABLE


async def test_activity_is_pushed_at_each_change_and_never_when_blind(
    keda: Any, current: CurrentDecision
) -> None:
    await current.take(decided(0, 1.0), 0.0)
    pushed = keda.StreamIsActive(of())
    assert not (await soon(pushed.read())).result
    await current.take(decided(2, 2.0), 0.0)
    assert (await soon(pushed.read())).result
    # Had one of these been told, it would be read first.
    await current.take(decided(0, 3.0, is_blind=True), 0.0)
    await current.take(decided(5, 4.0), 0.0)
    following = asyncio.ensure_future(pushed.read())
    await soon(keda.IsActive(of()))
    assert not following.done()
    await current.take(decided(0, 5.0), 0.0)
    assert not (await soon(following)).result
    pushed.cancel()


async def test_the_metrics_are_pushed_once_when_their_stream_is_opened(
    keda: Any, current: CurrentDecision
) -> None:
    pushed = keda.StreamMetricSpec(of())
    first = await soon(pushed.read())
    assert first == await keda.GetMetricSpec(of())
    await current.take(decided(2), 0.0)
    following = asyncio.ensure_future(pushed.read())
    await soon(keda.IsActive(of()))
    assert not following.done()
    pushed.cancel()


async def test_the_object_and_the_pools_are_named_when_the_metadata_is_wrong(
    keda: Any, current: CurrentDecision
) -> None:
    await current.take(decided(2), 0.0)
    nameless = pb.ScaledObjectRef(name="workers", namespace="serving")

    code, details = await refusal(keda.GetMetricSpec(nameless))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "serving/workers" in details
    code, details = await refusal(keda.GetMetrics(metric("sport")))
    assert code is grpc.StatusCode.NOT_FOUND
    assert "'sport'" in details
    assert "on-demand, spot" in details
    code, details = await refusal(keda.GetMetrics(metric(name="other")))
    assert code is grpc.StatusCode.NOT_FOUND
    assert METRIC in details
    assert (await refusal(keda.StreamIsActive(of("sport")).read()))[0] is grpc.StatusCode.NOT_FOUND


async def test_zero_is_not_told_when_a_request_has_come_since(
    keda: Any, current: CurrentDecision
) -> None:
    await current.take(decided(0), 0.0)
    assert not (await keda.IsActive(of())).result
    await current.arrive()
    assert (await refusal(keda.IsActive(of())))[0] is grpc.StatusCode.UNAVAILABLE
    await current.take(decided(1, 2.0), 0.0)
    assert (await keda.IsActive(of())).result


async def test_replicas_are_held_when_the_decision_does_not_know_the_pool(
    keda: Any, current: CurrentDecision
) -> None:
    await current.take(Decision(1.0, {"on-demand": 1}), 0.0)

    code, details = await refusal(keda.GetMetrics(metric()))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "no pool 'spot'" in details
