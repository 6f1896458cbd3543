"""KEDA's calls over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest
from facet.autoscaler.decisions import Decisions

from facet.api.externalscaler import external_scaler_service_pb2 as pb
from facet.api.externalscaler.external_scaler_service_pb2_grpc import ExternalScalerStub
from facet.autoscaler.decision import Decision
from facet.autoscaler.external_scaler import METRIC, ExternalScaler

pytestmark = pytest.mark.integration

VALID_SECONDS = 30.0
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
def decisions(clock: Clock) -> Decisions:
    return Decisions(valid_seconds=VALID_SECONDS, clock=clock)


@pytest.fixture
async def keda(decisions: Decisions) -> AsyncIterator[Any]:
    server = grpc.aio.server()
    ExternalScaler(decisions, ("spot", "on-demand")).add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield ExternalScalerStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
    await server.stop(0)


def of(pool: str = "spot") -> pb.ScaledObjectRef:
    return pb.ScaledObjectRef(name="workers", namespace="serving", scalerMetadata={"pool": pool})


def metric(pool: str = "spot", name: str = METRIC) -> pb.GetMetricsRequest:
    return pb.GetMetricsRequest(scaledObjectRef=of(pool), metricName=name)


def decided(spot: int, *, is_blind: bool = False) -> Decision:
    return Decision(1.0, {"spot": spot, "on-demand": 0}, is_blind=is_blind)


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), refused.value.details() or ""


async def soon(waited: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(waited, WAIT_SECONDS)


async def test_the_metric_is_the_decided_number_when_its_target_is_one(
    keda: Any, decisions: Decisions
) -> None:
    decisions.publish(decided(7))
    (spec,) = (await keda.GetMetricSpec(of())).metricSpecs
    (value,) = (await keda.GetMetrics(metric())).metricValues

    assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == (METRIC, 1, 1.0)
    assert (value.metricName, value.metricValue, value.metricValueFloat) == (METRIC, 7, 7.0)
    assert (await keda.IsActive(of())).result
    assert not (await keda.IsActive(of("on-demand"))).result


@pytest.mark.parametrize("why", ["none", "blind", "old"])
async def test_replicas_are_held_when_no_decision_is_in_force(
    keda: Any, decisions: Decisions, clock: Clock, why: str
) -> None:
    if why != "none":
        decisions.publish(decided(3, is_blind=why == "blind"))
    clock.seconds += VALID_SECONDS + 0.1 if why == "old" else 0.0

    for call in (keda.IsActive(of()), keda.GetMetrics(metric())):
        code, details = await refusal(call)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "replicas are held" in details


async def test_age_counts_from_the_decision_when_it_is_read_later(
    keda: Any, decisions: Decisions, clock: Clock
) -> None:
    decisions.publish(decided(3), age_seconds=VALID_SECONDS - 1)
    assert (await keda.IsActive(of())).result
    clock.seconds += 1.1
    assert (await refusal(keda.IsActive(of())))[0] is grpc.StatusCode.UNAVAILABLE


async def test_activity_is_pushed_at_each_change_and_never_when_blind(
    keda: Any, decisions: Decisions
) -> None:
    decisions.publish(decided(0))
    pushed = keda.StreamIsActive(of())
    assert not (await soon(pushed.read())).result
    decisions.publish(decided(2))
    assert (await soon(pushed.read())).result
    # Had one of these been told, it would be read first.
    decisions.publish(decided(0, is_blind=True))
    decisions.publish(decided(5))
    following = asyncio.ensure_future(pushed.read())
    await soon(keda.IsActive(of()))
    assert not following.done()
    decisions.publish(decided(0))
    assert not (await soon(following)).result
    pushed.cancel()


async def test_the_metrics_are_pushed_once_when_their_stream_is_opened(
    keda: Any, decisions: Decisions
) -> None:
    pushed = keda.StreamMetricSpec(of())
    first = await soon(pushed.read())
    assert first == await keda.GetMetricSpec(of())
    decisions.publish(decided(2))
    following = asyncio.ensure_future(pushed.read())
    await soon(keda.IsActive(of()))
    assert not following.done()
    pushed.cancel()


async def test_the_object_and_the_pools_are_named_when_the_metadata_is_wrong(
    keda: Any, decisions: Decisions
) -> None:
    decisions.publish(decided(2))
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
