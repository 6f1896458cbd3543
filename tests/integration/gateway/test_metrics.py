"""What gateways tell: of calls and deliveries, and of the queues that all of them see."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from facet.api.v1.content_pb2 import ROLE_USER, Blob, Content, Part
from facet.api.v1.event_pb2 import Finished
from facet.api.v1.generation_pb2 import (
    FINISH_REASON_STOP,
    PRIORITY_BATCH,
    PRIORITY_INTERACTIVE,
    GenerationRequest,
    Timings,
)
from facet.api.v1.inference_service_pb2 import StreamGenerateContentRequest
from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from facet.queue.redis_queue import RedisQueue
from tests.integration.gateway.metrics_gateway import MetricsGateway, metrics_gateway
from tests.integration.gateway.requests import failure_of, next_of, rest_of, streamed, unary
from tests.integration.gateway.scripted_worker import ScriptedWorker
from tests.support.media_samples import png
from tests.support.promtool import Scraped
from tests.support.redis_server import RedisServer

if TYPE_CHECKING:
    from facet.api.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub

pytestmark = pytest.mark.integration

MODEL = "nano"
TAKEOVER_SECONDS = 10.0


@dataclass(frozen=True)
class Bench:
    """A gateway's process with a client and a worker of few words."""

    gateway: MetricsGateway
    inference: InferenceServiceAsyncStub
    worker: ScriptedWorker


@pytest.fixture
def release() -> str:
    return f"t{secrets.token_hex(6)}"


@pytest.fixture
async def bench(redis_server: RedisServer, release: str, tmp_path: Path) -> AsyncIterator[Bench]:
    tenants = tmp_path / "tenants.json"
    tenants.write_text(json.dumps({"defaults": {"max_concurrent": 1}}))
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(
            metrics_gateway(redis_server.url, release, tenants_file=tenants)
        )
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(gateway.address))
        queue = RedisQueue.connect(redis_server.url, release=release, model=MODEL)
        stack.push_async_callback(queue.close)
        yield Bench(gateway, InferenceServiceStub(channel), ScriptedWorker(queue))


async def until(
    gateway: MetricsGateway, condition: Callable[[Scraped], bool], seconds: float
) -> Scraped:
    """The first scrape for which it holds; fails at the bound."""
    ends = time.monotonic() + seconds
    while not condition(scraped := await gateway.glance()):
        assert time.monotonic() < ends, "the condition did not hold in time"
        await asyncio.sleep(0.1)
    return scraped


async def test_a_stream_is_told_from_its_arrival_to_its_end(bench: Bench) -> None:
    call = bench.inference.StreamGenerateContent(streamed(priority=PRIORITY_INTERACTIVE))
    job = await bench.worker.claim()
    await job.start()
    await next_of(call)
    await job.say("one ")
    await next_of(call)
    await job.say("two ", "three ")
    await next_of(call)
    await job.finish(Finished(finish_reason=FINISH_REASON_STOP, timings=Timings(attempts=3)))
    await rest_of(call)
    told = await bench.gateway.scrape()

    ended = {"model": MODEL, "class": "interactive"}
    method = "facet.v1.InferenceService/StreamGenerateContent"
    assert told.value("facet_gateway_calls_total", method=method, reason="OK") == 1
    assert told.value("facet_gateway_requests_total", tenant="anonymous", reason="OK", **ended) == 1
    assert told.value("facet_gateway_time_to_first_token_seconds_count", **ended) == 1
    assert told.value("facet_gateway_request_seconds_count", **ended) == 1
    whole = told.value("facet_gateway_request_seconds_sum", **ended)
    assert 0 < told.value("facet_gateway_time_to_first_token_seconds_sum", **ended) < whole
    assert told.value("facet_gateway_inter_token_seconds_count", model=MODEL) == 2
    assert told.value("facet_gateway_deliveries_total", model=MODEL) == 4
    assert told.value("facet_gateway_delivered_events_total", model=MODEL) == 5
    assert told.value("facet_gateway_resumes_total", model=MODEL) == 2
    assert told.value("facet_gateway_open_calls") == 0
    assert told.value("facet_store_call_seconds_count", call="submit") == 1
    assert told.total("facet_store_call_failures_total") == 0


async def test_refusals_are_told_by_reason_and_limit(bench: Bench) -> None:
    wrong = await failure_of(bench.inference.GenerateContent(unary(model="other")))
    held = bench.inference.StreamGenerateContent(streamed())
    await bench.worker.claim()
    refused = await failure_of(bench.inference.GenerateContent(unary()))
    told = await bench.gateway.scrape()
    held.cancel()
    left = await until(bench.gateway, lambda each: each.value("facet_gateway_open_calls") == 0, 5)

    assert [wrong[1].reason, refused[1].reason] == ["MODEL_NOT_FOUND", "QUOTA_EXCEEDED"]
    for reason, model in (("MODEL_NOT_FOUND", ""), ("QUOTA_EXCEEDED", MODEL)):
        labels = {"model": model, "class": "standard", "tenant": "anonymous", "reason": reason}
        assert told.value("facet_gateway_requests_total", **labels) == 1
    quota = {"tenant": "anonymous", "limit": "max_concurrent"}
    assert told.value("facet_gateway_quota_refusals_total", **quota) == 1
    assert told.value("facet_gateway_open_calls") == 1
    assert left.total("facet_gateway_requests_total", reason="CANCELLED") == 1


async def test_bytes_of_media_are_told_by_modality(bench: Bench) -> None:
    image = png(4, 4)
    parts = [Part(text="see"), Part(inline_data=Blob(mime_type="image/png", data=image))]
    request = GenerationRequest(contents=[Content(role=ROLE_USER, parts=parts)])
    call = bench.inference.StreamGenerateContent(StreamGenerateContentRequest(request=request))
    await (await bench.worker.claim()).finish()
    await rest_of(call)
    told = await bench.gateway.scrape()

    labels = {"model": MODEL, "modality": "image"}
    assert told.value("facet_gateway_media_bytes_total", **labels) == len(image)


async def test_one_gateway_tells_the_queue_and_another_when_it_is_killed(
    redis_server: RedisServer, release: str
) -> None:
    async with (
        metrics_gateway(redis_server.url, release) as first,
        metrics_gateway(redis_server.url, release) as second,
        grpc.aio.insecure_channel(second.address) as channel,
    ):
        stub: InferenceServiceAsyncStub = InferenceServiceStub(channel)
        # Held, so that what they asked for is not abandoned.
        calls = [stub.StreamGenerateContent(streamed(priority=PRIORITY_BATCH)) for _ in range(3)]
        waiting = {"model": MODEL, "class": "batch"}

        def tells(each: Scraped) -> bool:
            return each.value("facet_queue_waiting_requests", **waiting) == 3

        await until(first, tells, TAKEOVER_SECONDS)
        told = [await first.scrape(), await second.scrape()]
        first.process.kill()
        after = await until(second, tells, TAKEOVER_SECONDS)

        assert "facet_queue_waiting_requests" in told[0].names()
        assert "facet_queue_waiting_requests" not in told[1].names()
        for each in (told[0], after):
            assert each.value("facet_queue_waiting_tokens", **waiting) > 0
            assert each.value("facet_queue_oldest_age_seconds", **waiting) > 0
            assert each.total("facet_queue_waiting_requests") == 3
            assert each.value("facet_queue_leases", model=MODEL) == 0
            assert each.value("facet_queue_dead_letters", model=MODEL) == 0
        assert len(calls) == 3


async def test_the_queue_is_not_told_while_its_store_is_away(own_redis_server: RedisServer) -> None:
    async with metrics_gateway(own_redis_server.url, "default") as gateway:
        name = "facet_queue_leases"
        await until(gateway, lambda each: name in each.names(), TAKEOVER_SECONDS)
        own_redis_server.kill()
        told = await until(gateway, lambda each: name not in each.names(), TAKEOVER_SECONDS)

        assert told.value("facet_store_call_failures_total", call="sweep") >= 1
