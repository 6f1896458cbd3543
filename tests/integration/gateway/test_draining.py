"""A gateway process told to stop."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from tests.integration.gateway.gateway_process import gateway_process
from tests.integration.gateway.requests import (
    failure_of,
    generation_id_of,
    logged,
    next_of,
    rest_of,
    streamed,
)
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

LONG_DRAIN_SECONDS = 60.0
SHORT_DRAIN_SECONDS = 1.0


@pytest.fixture
def release() -> str:
    return f"t{secrets.token_hex(6)}"


async def test_open_stream_ends_by_itself_when_the_drain_bound_allows(
    redis_server: RedisServer, release: str, tmp_path: Path
) -> None:
    async with gateway_process(
        redis_server.url,
        release,
        address_file=tmp_path / "address",
        drain_seconds=LONG_DRAIN_SECONDS,
    ) as gateway:
        assert (tmp_path / "address").read_text() == gateway.address
        watch = health_pb2_grpc.HealthStub(gateway.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await next_of(watch)).status == health_pb2.HealthCheckResponse.SERVING
        stub = InferenceServiceStub(gateway.channel)
        call = stub.StreamGenerateContent(streamed())
        await generation_id_of(call)
        job = await gateway.worker.claim()
        gateway.process.send_signal(signal.SIGTERM)
        assert (await next_of(watch)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await job.say("still here")
        await job.finish()
        assert [event.offset for event in await rest_of(call)] == [0, 1]
        assert await gateway.ended() == 0


async def test_open_stream_is_told_where_to_go_on_when_the_drain_bound_passes(
    redis_server: RedisServer, release: str
) -> None:
    async with gateway_process(
        redis_server.url, release, drain_seconds=SHORT_DRAIN_SECONDS
    ) as gateway:
        call = InferenceServiceStub(gateway.channel).StreamGenerateContent(streamed())
        generation_id = await generation_id_of(call)
        job = await gateway.worker.claim()
        await job.say("a", "b")
        assert len(logged(await next_of(call))) == 2
        gateway.process.send_signal(signal.SIGTERM)
        code, info = await failure_of(call.read())
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "GATEWAY_DRAINING")
        assert dict(info.metadata) == {"generation_id": generation_id, "next_offset": "2"}
        assert not await job.is_lost()
        assert await gateway.ended() == 0
