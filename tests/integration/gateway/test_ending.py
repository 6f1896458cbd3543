"""Who ends a generation before it is done: cancel, a gone client, the deadline."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facet.api.v1.generation_pb2 import ON_DISCONNECT_CONTINUE
from facet.api.v1.inference_service_pb2 import (
    AttachGenerationRequest,
    CancelGenerationRequest,
)
from facet.gateway import follower
from facet.queue.values import State
from tests.integration.gateway.conftest import Bench, BenchMaker
from tests.integration.gateway.requests import (
    error_of,
    failure_of,
    generation_id_of,
    info_of,
    logged,
    next_of,
    rest_of,
    streamed,
    unary,
)
from tests.support.conditions import until
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

GRACE_SECONDS = 1.0


async def test_stream_ends_cancelled_when_somebody_cancels(bench: Bench) -> None:
    call = bench.inference.StreamGenerateContent(streamed())
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    await job.say("some")
    assert [event.offset for event in logged(await next_of(call))] == [0]
    cancel = CancelGenerationRequest(generation_id=generation_id)
    started = time.monotonic()
    assert (await bench.inference.CancelGeneration(cancel)).cancelled
    assert await job.is_lost()
    [terminal] = logged(await next_of(call))
    assert terminal.offset == 1
    assert terminal.WhichOneof("kind") == "finished"
    code, info = await failure_of(call.read())
    assert (code, info.reason) == (grpc.StatusCode.CANCELLED, "CANCELLED")
    assert time.monotonic() - started < 1
    assert not (await bench.inference.CancelGeneration(cancel)).cancelled


@pytest.mark.parametrize("generation_id", ["", "g-0-" + "0" * 32, "nonsense", "x" * 10_000])
async def test_cancel_finds_nothing_when_the_id_is_unknown(
    bench: Bench, generation_id: str
) -> None:
    request = CancelGenerationRequest(generation_id=generation_id)
    code, info = await failure_of(bench.inference.CancelGeneration(request))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "GENERATION_NOT_FOUND")


async def test_generation_is_abandoned_when_its_client_leaves(benches: BenchMaker) -> None:
    bench = await benches.start(reader_grace_seconds=GRACE_SECONDS)
    call = bench.inference.StreamGenerateContent(streamed())
    await generation_id_of(call)
    job = await bench.worker.claim()
    await job.start()
    await next_of(call)
    call.cancel()
    await until(job.is_lost, seconds=GRACE_SECONDS + 3)


async def test_generation_lives_when_its_client_stays_beyond_the_grace(
    benches: BenchMaker,
) -> None:
    bench = await benches.start(reader_grace_seconds=GRACE_SECONDS)
    call = bench.inference.StreamGenerateContent(streamed())
    await generation_id_of(call)
    job = await bench.worker.claim()
    ends = time.monotonic() + 3 * GRACE_SECONDS
    while time.monotonic() < ends:
        assert not await job.is_lost()
        await asyncio.sleep(0.1)
    await job.finish()
    assert len(await rest_of(call)) == 1


async def test_generation_lives_when_a_client_comes_back_within_the_grace(
    benches: BenchMaker,
) -> None:
    bench = await benches.start(reader_grace_seconds=GRACE_SECONDS)
    call = bench.inference.StreamGenerateContent(streamed())
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    await job.say("a")
    call.cancel()
    attached = bench.inference.AttachGeneration(
        AttachGenerationRequest(generation_id=generation_id)
    )
    await generation_id_of(attached)
    ends = time.monotonic() + 2.5 * GRACE_SECONDS
    while time.monotonic() < ends:
        assert not await job.is_lost()
        await asyncio.sleep(0.1)
    await job.finish()
    assert [event.offset for event in await rest_of(attached)] == [0, 1]


async def test_generation_runs_on_when_the_request_says_continue(benches: BenchMaker) -> None:
    bench = await benches.start(reader_grace_seconds=GRACE_SECONDS)
    request = streamed(on_disconnect=ON_DISCONNECT_CONTINUE)
    call = bench.inference.StreamGenerateContent(request)
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    call.cancel()
    ends = time.monotonic() + 2.5 * GRACE_SECONDS
    while time.monotonic() < ends:
        assert not await job.is_lost()
        await asyncio.sleep(0.1)
    await job.finish()
    status = await bench.queue.status(generation_id, "anonymous")
    assert status.state is State.ENDED


async def test_deadline_is_kept_when_no_worker_comes(bench: Bench) -> None:
    call = bench.inference.StreamGenerateContent(streamed(), timeout=0.5)
    generation_id = await generation_id_of(call)
    started = time.monotonic()
    # Client and store keep the same deadline: whichever is first, the call ends alike.
    error = await error_of(rest_of(call))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 2

    async def ended() -> bool:
        return (await bench.queue.status(generation_id, "anonymous")).state is State.ENDED

    await until(ended, seconds=3)


async def test_end_can_be_read_when_no_retention_is_wanted(bench: Bench) -> None:
    call = bench.inference.StreamGenerateContent(streamed(retention=Duration(seconds=0)))
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    await job.say("all", "of", "it")
    await job.finish()
    assert [event.offset for event in await rest_of(call)] == [0, 1, 2, 3]
    attached = bench.inference.AttachGeneration(
        AttachGenerationRequest(generation_id=generation_id)
    )
    assert [event.offset for event in await rest_of(attached)] == [0, 1, 2, 3]


async def test_attached_call_keeps_the_generations_deadline_when_it_brings_another(
    own_redis_server: RedisServer, own_benches: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "OVERDUE_SECONDS", 0.5)
    bench = await own_benches.start(default_deadline_seconds=60)
    generation_id = await generation_id_of(
        bench.inference.StreamGenerateContent(streamed(), timeout=1.5)
    )
    attached = bench.inference.AttachGeneration(
        AttachGenerationRequest(generation_id=generation_id), timeout=30
    )
    await generation_id_of(attached)
    own_redis_server.kill()
    error = await error_of(rest_of(attached))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error.details() == "the deadline passed while the store was away"


async def test_call_is_refused_with_its_reason_when_too_many_are_open(
    benches: BenchMaker,
) -> None:
    bench = await benches.start(max_open_calls=1)
    open_call = bench.inference.StreamGenerateContent(streamed())
    await generation_id_of(open_call)
    code, info = await failure_of(bench.inference.GenerateContent(unary()))
    assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    # Whoever only asks for health is not counted.
    check = health_pb2_grpc.HealthStub(bench.channel).Check(health_pb2.HealthCheckRequest())
    assert (await check).status == health_pb2.HealthCheckResponse.SERVING
    job = await bench.worker.claim()
    await job.finish()
    assert len(await rest_of(open_call)) == 1


async def test_store_tells_of_the_deadline_when_the_client_set_none(
    benches: BenchMaker,
) -> None:
    bench = await benches.start(default_deadline_seconds=0.5)
    call = bench.inference.GenerateContent(unary())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(call, 5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert info_of(caught.value).reason == "DEADLINE_EXCEEDED"
