"""Engines let go of what nobody reads any more: gateway and worker as processes of their own."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc
import pytest

from facet.api.v1 import error_pb2
from facet.api.v1.inference_service_pb2 import AttachGenerationRequest
from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from facet.queue.redis_queue import RedisQueue
from tests.integration.gateway.gateway_process import gateway_process
from tests.integration.gateway.requests import generation_id_of, rest_of, streamed
from tests.integration.worker.worker_process import (
    WorkerProcess,
    eventually,
    finished_log,
    log_of,
    ready,
    submit,
)
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TcpProxy
from tests.unit.worker.scripted import request

pytestmark = pytest.mark.integration

Start = Callable[..., WorkerProcess]

GRACE_SECONDS = 3.0
SLACK_SECONDS = 5.0
ENDLESS = "[[stall@2]]"
"""Two tokens and then nothing: the engine never lets go of it by itself."""


@pytest.mark.parametrize("loss", ["gateway killed", "client silent", "client gone"])
async def test_the_engine_is_free_within_the_grace_and_5_s_when_the_last_reader_is_lost(
    redis_server: RedisServer, queue: RedisQueue, release: str, start_worker: Start, loss: str
) -> None:
    worker = start_worker(max_sequences=1, claim_ahead=0)
    await ready(worker)
    async with (
        gateway_process(redis_server.url, release, reader_grace_seconds=GRACE_SECONDS) as gateway,
        TcpProxy(int(gateway.address.rpartition(":")[2])) as proxy,
        grpc.aio.insecure_channel(f"127.0.0.1:{proxy.port}") as channel,
    ):
        call = InferenceServiceStub(channel).StreamGenerateContent(streamed(ENDLESS))
        abandoned = await generation_id_of(call)
        await eventually(lambda: has_tokens(queue, abandoned), 10)
        # The only slot is taken until the engine was aborted.
        following = await submit(queue, request("next"))
        lost_at = time.monotonic()
        if loss == "gateway killed":
            await gateway.kill()
        elif loss == "client silent":
            proxy.delay_seconds = 1e6
        else:
            call.cancel()
        await eventually(lambda: has_tokens(queue, following), GRACE_SECONDS + SLACK_SECONDS)
        # The last sign of life was at most a third of the grace before.
        assert time.monotonic() - lost_at >= GRACE_SECONDS / 2
    ended = await finished_log(queue, abandoned, 1)
    assert ended[-1].finished.failure.reason == error_pb2.ERROR_REASON_CANCELLED


async def test_the_engine_goes_on_when_a_reader_comes_back_to_another_gateway_within_the_grace(
    redis_server: RedisServer, queue: RedisQueue, release: str, start_worker: Start
) -> None:
    await ready(start_worker(simulated_step_ms=100))
    settings = {"reader_grace_seconds": GRACE_SECONDS}
    async with (
        gateway_process(redis_server.url, release, **settings) as first,
        gateway_process(redis_server.url, release, **settings) as second,
    ):
        call = InferenceServiceStub(first.channel).StreamGenerateContent(streamed("a long tale"))
        generation_id = await generation_id_of(call)
        await eventually(lambda: has_tokens(queue, generation_id), 10)
        await first.kill()
        attached = InferenceServiceStub(second.channel).AttachGeneration(attach(generation_id))
        events = await rest_of(attached)
    assert [event.offset for event in events] == list(range(len(events)))
    assert not events[-1].finished.HasField("failure")
    assert events[-1].finished.timings.attempts == 1


async def has_tokens(queue: RedisQueue, generation_id: str) -> bool:
    events = await log_of(queue, generation_id)
    return bool(events) and events[-1].token_end > 0


def attach(generation_id: str) -> AttachGenerationRequest:
    return AttachGenerationRequest(generation_id=generation_id)
