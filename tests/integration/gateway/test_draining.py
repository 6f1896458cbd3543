"""A gateway process told to stop."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from facet.queue.redis_queue import RedisQueue
from tests.integration.gateway.requests import (
    failure_of,
    generation_id_of,
    logged,
    next_of,
    rest_of,
    streamed,
)
from tests.integration.gateway.scripted_worker import ScriptedWorker
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

START_SECONDS = 20.0
STOP_SECONDS = 10.0
LONG_DRAIN_SECONDS = 60.0
SHORT_DRAIN_SECONDS = 1.0


@dataclass(frozen=True)
class GatewayProcess:
    """A gateway of its own process, and a worker on its queue."""

    process: asyncio.subprocess.Process
    address: str
    channel: grpc.aio.Channel
    worker: ScriptedWorker


@asynccontextmanager
async def gateway_process(
    redis_url: str, address_file: Path, *, drain_seconds: float
) -> AsyncIterator[GatewayProcess]:
    release = f"t{secrets.token_hex(6)}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "facet.gateway"),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ
        | {
            "FACET_GATEWAY_REDIS_URL": redis_url,
            "FACET_GATEWAY_RELEASE": release,
            "FACET_GATEWAY_DRAIN_SECONDS": str(drain_seconds),
            "FACET_GATEWAY_ADDRESS_FILE": str(address_file),
        },
    )
    assert process.stdout is not None
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_end, process)
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        assert line.startswith(b"READY grpc=127.0.0.1:")
        address = line.decode().strip().removeprefix("READY grpc=")
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        queue = RedisQueue.connect(redis_url, release=release, model="nano")
        stack.push_async_callback(queue.close)
        yield GatewayProcess(process, address, channel, ScriptedWorker(queue))
        assert await asyncio.wait_for(process.wait(), STOP_SECONDS) == 0
        assert await process.stdout.read() == b""


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_open_stream_ends_by_itself_when_the_drain_bound_allows(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with gateway_process(
        redis_server.url, tmp_path / "address", drain_seconds=LONG_DRAIN_SECONDS
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


async def test_open_stream_is_told_where_to_go_on_when_the_drain_bound_passes(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with gateway_process(
        redis_server.url, tmp_path / "address", drain_seconds=SHORT_DRAIN_SECONDS
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
