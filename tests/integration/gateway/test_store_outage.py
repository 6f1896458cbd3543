"""The store goes away and comes back under a gateway that stays up."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facet.api.v1.content_pb2 import Blob, Content, Part
from facet.api.v1.generation_pb2 import GenerationRequest
from facet.api.v1.inference_service_pb2 import GenerateContentRequest
from facet.gateway import follower
from tests.integration.gateway.conftest import BenchMaker
from tests.integration.gateway.requests import (
    error_of,
    failure_of,
    generation_id_of,
    logged,
    next_of,
    rest_of,
    streamed,
    unary,
)
from tests.support.lateness import measured_lateness
from tests.support.media_samples import PNG
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNAVAILABLE_WITHIN_SECONDS = 2.0
STALL_SECONDS = 2.5


async def test_calls_fail_fast_and_recover_when_the_store_restarts(
    own_redis_server: RedisServer, own_benches: BenchMaker
) -> None:
    bench = await own_benches.start()
    watch = health_pb2_grpc.HealthStub(bench.channel).Watch(health_pb2.HealthCheckRequest())
    assert (await next_of(watch)).status == SERVING
    own_redis_server.kill()
    await _assert_unavailable(bench.inference.GenerateContent(unary()))
    await _assert_unavailable(bench.inference.StreamGenerateContent(streamed()).read())
    assert (await next_of(watch)).status == NOT_SERVING
    own_redis_server.restart()
    assert (await next_of(watch)).status == SERVING
    call = bench.inference.StreamGenerateContent(streamed())
    await generation_id_of(call)
    job = await bench.worker.claim()
    await job.finish()
    assert len(await rest_of(call)) == 1


async def test_calls_fail_fast_when_the_store_hangs(
    own_redis_server: RedisServer, own_benches: BenchMaker
) -> None:
    bench = await own_benches.start()
    own_redis_server.pause()
    part = Part(inline_data=Blob(mime_type="image/png", data=PNG))
    with_image = GenerateContentRequest(request=GenerationRequest(contents=[Content(parts=[part])]))
    await asyncio.gather(
        _assert_unavailable(bench.inference.GenerateContent(unary())),
        _assert_unavailable(bench.inference.GenerateContent(with_image)),
    )
    own_redis_server.resume()


async def test_stream_is_held_and_goes_on_when_the_store_restarts(
    own_redis_server: RedisServer, own_benches: BenchMaker
) -> None:
    bench = await own_benches.start()
    call = bench.inference.StreamGenerateContent(streamed())
    await generation_id_of(call)
    job = await bench.worker.claim()
    await job.say("before")
    assert [event.offset for event in logged(await next_of(call))] == [0]
    own_redis_server.kill()
    own_redis_server.restart()
    await job.say("after")
    await job.finish()
    assert [event.offset for event in await rest_of(call)] == [1, 2]


async def test_stream_goes_on_and_nothing_dies_when_the_store_stalls(
    own_redis_server: RedisServer, own_benches: BenchMaker
) -> None:
    bench = await own_benches.start(reader_grace_seconds=3.0)
    call = bench.inference.StreamGenerateContent(streamed())
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    await job.say("before")
    assert [event.offset for event in logged(await next_of(call))] == [0]
    own_redis_server.pause()
    try:
        began = time.monotonic()
        await _assert_unavailable(bench.inference.GenerateContent(unary()))
        await asyncio.sleep(max(0.0, began + STALL_SECONDS - time.monotonic()))
    finally:
        own_redis_server.resume()
    await job.say("after")
    await job.finish()
    assert [event.offset for event in await rest_of(call)] == [1, 2]
    status = await bench.queue.status(generation_id, "anonymous")
    assert (status.attempts, status.deaths, status.failure) == (1, 0, b"")


async def test_address_of_the_store_is_not_told_when_it_is_away(
    own_redis_server: RedisServer, own_benches: BenchMaker
) -> None:
    bench = await own_benches.start()
    own_redis_server.kill()
    error = await error_of(bench.inference.GenerateContent(unary()))
    assert error.details() == "the store did not answer in time; try again"


async def test_stream_ends_with_data_loss_when_the_store_comes_back_empty(
    own_redis_server: RedisServer, own_benches: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "STATUS_INTERVAL_SECONDS", 0.5)
    bench = await own_benches.start()
    call = bench.inference.StreamGenerateContent(streamed())
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    await job.say("one", "two")
    assert len(logged(await next_of(call))) == 2
    await bench.queue._redis.command("FLUSHALL")
    code, info = await failure_of(call.read())
    assert (code, info.reason) == (grpc.StatusCode.DATA_LOSS, "LOG_LOST")
    assert dict(info.metadata) == {"generation_id": generation_id, "next_offset": "2"}


async def _assert_unavailable(call: Any) -> None:
    async with measured_lateness() as lateness:
        started = time.monotonic()
        code, info = await failure_of(call)
        took_seconds = time.monotonic() - started
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert took_seconds < UNAVAILABLE_WITHIN_SECONDS + lateness.seconds
