"""A client that stops reading."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from facet.gateway.log_reader import BUFFER_BYTES
from facet.queue.values import LogEntry
from tests.integration.gateway.conftest import Bench, BenchMaker
from tests.integration.gateway.gateway_process import gateway_process
from tests.integration.gateway.requests import generation_id_of, next_of, rest_of, streamed
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

EVENTS = 600
EVENT_BYTES = 16 * 1024
# What gRPC and the kernel hold for a client beside the gateway's own buffer.
IN_FLIGHT_BYTES = 6 * 1024 * 1024
STALLED = 6
# What one stalled client costs the gateway process, of the 9.4 MiB that are logged for it.
HELD_BYTES = 1024 * 1024


async def test_nothing_is_lost_and_little_is_held_when_a_client_stalls(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = bench.gateway.catalogue.routes[0]
    read, read_bytes = route.queue.read, 0

    async def counted(cursors: Mapping[str, int], **options: Any) -> dict[str, list[LogEntry]]:
        nonlocal read_bytes
        news = await read(cursors, **options)
        read_bytes += sum(len(e.response) for e in news.get(stalled_id, ()))
        return news

    monkeypatch.setattr(route.queue, "read", counted)
    stalled = bench.inference.StreamGenerateContent(streamed())
    stalled_id = await generation_id_of(stalled)
    job = await bench.worker.claim()
    for _ in range(EVENTS):
        await job.say("x" * EVENT_BYTES)
    await job.finish()

    other = bench.inference.StreamGenerateContent(streamed())
    await generation_id_of(other)
    prompt = await bench.worker.claim()
    await prompt.finish()
    assert len(await rest_of(other)) == 1
    await asyncio.sleep(0)
    assert read_bytes <= IN_FLIGHT_BYTES + 5 * BUFFER_BYTES
    assert read_bytes < EVENTS * EVENT_BYTES

    events = await rest_of(stalled)
    assert [event.offset for event in events] == list(range(EVENTS + 1))
    assert all(len(event.text_delta.text) == EVENT_BYTES for event in events[:-1])


async def test_the_gateway_does_not_grow_when_clients_stall(
    redis_server: RedisServer, benches: BenchMaker
) -> None:
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(
            gateway_process(redis_server.url, benches.release)
        )
        calls, jobs = [], []
        for _ in range(STALLED):
            # A connection each, as clients have: one would share its window.
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(gateway.address))
            calls.append(InferenceServiceStub(channel).StreamGenerateContent(streamed()))
            await generation_id_of(calls[-1])
            jobs.append(await gateway.worker.claim())
            await jobs[-1].start()
            await next_of(calls[-1])
        before = rss_bytes(gateway.process.pid)
        for _ in range(EVENTS):
            for job in jobs:
                await job.say("x" * EVENT_BYTES)
        for job in jobs:
            await job.finish()
        grown = rss_bytes(gateway.process.pid) - before
        assert grown <= STALLED * HELD_BYTES < STALLED * EVENTS * EVENT_BYTES / 3
        for call in calls:
            events = await rest_of(call)
            assert [event.offset for event in events] == list(range(1, EVENTS + 2))


def rss_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
