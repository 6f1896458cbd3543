"""Readers that lose their gateway, come back, or do so in a loop."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import grpc
import pytest

import facet
from facet.api.v1.event_pb2 import Event, TextDelta
from facet.api.v1.inference_service_pb2 import AttachGenerationRequest
from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from tests.integration.gateway.conftest import Bench, BenchMaker
from tests.integration.gateway.gateway_process import GatewayProcess, gateway_process
from tests.integration.gateway.requests import (
    failure_of,
    generation_id_of,
    logged,
    next_of,
    rest_of,
    streamed,
    unary,
)
from tests.support.conditions import until
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

GRACE_SECONDS = 2.0
DEFAULT_GRACE_SECONDS = 10.0
ATTACHES = 60


@pytest.fixture
async def mortal(redis_server: RedisServer, benches: BenchMaker) -> AsyncIterator[GatewayProcess]:
    """A gateway process beside the ones that `benches` starts."""
    async with gateway_process(
        redis_server.url, benches.release, reader_grace_seconds=GRACE_SECONDS
    ) as gateway:
        yield gateway


def _attach(generation_id: str, from_offset: int) -> AttachGenerationRequest:
    return AttachGenerationRequest(generation_id=generation_id, from_offset=from_offset)


async def test_generation_is_cancelled_when_its_gateway_dies_and_nobody_comes_back(
    benches: BenchMaker, mortal: GatewayProcess
) -> None:
    await benches.start(reader_grace_seconds=GRACE_SECONDS)
    call = InferenceServiceStub(mortal.channel).StreamGenerateContent(streamed())
    await generation_id_of(call)
    job = await mortal.worker.claim()
    await job.say("a")
    await next_of(call)
    await mortal.kill()
    killed_at = time.monotonic()
    assert not await job.is_lost()
    await until(job.is_lost, seconds=GRACE_SECONDS + 5)
    # Its last sign of life is at most a third of the grace old.
    assert time.monotonic() - killed_at >= GRACE_SECONDS / 2


async def test_stream_goes_on_elsewhere_when_its_gateway_dies(
    benches: BenchMaker, mortal: GatewayProcess
) -> None:
    other = await benches.start(reader_grace_seconds=GRACE_SECONDS)
    call = InferenceServiceStub(mortal.channel).StreamGenerateContent(streamed())
    generation_id = await generation_id_of(call)
    job = await mortal.worker.claim()
    await job.say("a", "b")
    assert len(logged(await next_of(call))) == 2
    await mortal.kill()
    attached = other.inference.AttachGeneration(_attach(generation_id, 2))
    await generation_id_of(attached)
    ends = time.monotonic() + 2 * GRACE_SECONDS
    offset = 2
    while time.monotonic() < ends:
        await job.say("c")
        assert [event.offset for event in logged(await next_of(attached))] == [offset]
        offset += 1
    await job.finish()
    assert [event.offset for event in await rest_of(attached)] == [offset]


async def test_stream_goes_on_elsewhere_when_its_gateway_falls_silent(
    redis_server: RedisServer, benches: BenchMaker
) -> None:
    other = await benches.start()
    async with gateway_process(redis_server.url, benches.release) as silent:
        addresses = f"{silent.address},{other.address}"
        async with facet.AsyncClient(addresses) as client, client.stream("hello") as stream:
            await stream.accepted()
            job = await other.worker.claim()
            await job.say("a")
            assert await anext(stream) == facet.client.TextDelta(0, "a", 0)
            silent.process.send_signal(signal.SIGSTOP)
            stopped_at = time.monotonic()
            reading = asyncio.create_task(anext(stream))
            await job.append(Event(text_delta=TextDelta(text="b", text_start=1)))
            while not reading.done():
                assert not await job.is_lost()
                await asyncio.wait([reading], timeout=1)
            assert await reading == facet.client.TextDelta(1, "b", 1)
            # The grace of its readers began up to 3 s before it fell silent.
            assert time.monotonic() - stopped_at < DEFAULT_GRACE_SECONDS - 3
            await job.finish()
            assert [type(event) async for event in stream] == [facet.client.Finished]


async def test_each_event_comes_once_and_nothing_stays_when_a_client_attaches_in_a_loop(
    bench: Bench,
) -> None:
    reader = bench.gateway.catalogue.routes[0].reader
    call = bench.inference.StreamGenerateContent(streamed())
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    for offset in range(ATTACHES):
        attached = bench.inference.AttachGeneration(_attach(generation_id, offset))
        await generation_id_of(attached)
        await job.say("x")
        assert [event.offset for event in logged(await next_of(attached))] == [offset]
        attached.cancel()

    async def only_one_is_left() -> bool:
        return len(reader._subscriptions.get(generation_id, ())) == 1

    await until(only_one_is_left)
    await job.finish()
    assert [event.offset for event in await rest_of(call)] == list(range(ATTACHES + 1))

    async def nobody_is_left() -> bool:
        return not reader._subscriptions.get(generation_id, ())

    await until(nobody_is_left)


async def test_one_generation_runs_when_a_client_sends_it_again_in_a_loop(
    benches: BenchMaker,
) -> None:
    first, second = await benches.start(), await benches.start()
    sent = streamed(request_id="order-7")
    ids = set()
    for number in range(ATTACHES):
        call = (first, second)[number % 2].inference.StreamGenerateContent(sent)
        ids.add(await generation_id_of(call))
        call.cancel()
    last = first.inference.StreamGenerateContent(sent)
    ids.add(await generation_id_of(last))
    assert len(ids) == 1
    depth = await first.queue.depth()
    assert (depth.waiting, depth.leased) == (1, 0)
    job = await first.worker.claim()
    await job.finish()
    assert [event.offset for event in await rest_of(last)] == [0]


async def test_one_generation_runs_when_it_is_sent_to_two_gateways_at_once(
    benches: BenchMaker,
) -> None:
    both = [await benches.start(), await benches.start()]
    calls = [
        bench.inference.StreamGenerateContent(streamed(request_id="order-8")) for bench in both * 10
    ]
    assert len(set(await asyncio.gather(*map(generation_id_of, calls)))) == 1
    job = await both[0].worker.claim()
    await job.say("one")
    await job.finish()
    for call in calls:
        assert [event.offset for event in await rest_of(call)] == [0, 1]
    assert (await both[0].queue.depth()).waiting == 0


async def test_a_loop_of_other_bodies_is_refused_and_leaves_nothing_when_its_id_is_taken(
    bench: Bench,
) -> None:
    call = bench.inference.StreamGenerateContent(streamed(request_id="order-9"))
    await generation_id_of(call)
    for number in range(ATTACHES):
        other = unary(f"body {number}", request_id="order-9")
        code, info = await failure_of(bench.inference.GenerateContent(other))
        assert (code, info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert (await bench.queue.depth()).waiting == 1
    job = await bench.worker.claim()
    await job.finish()
    assert [event.offset for event in await rest_of(call)] == [0]


@pytest.mark.parametrize("has_ended", [False, True])
@pytest.mark.parametrize("beyond", [1, 2**31, 2**53 + 1, 2**63 - 2, 2**64 - 3])
async def test_offset_is_refused_when_it_lies_beyond_the_end(
    bench: Bench, beyond: int, has_ended: bool
) -> None:
    call = bench.inference.StreamGenerateContent(streamed())
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    await job.say("a")
    end = 1
    if has_ended:
        await job.finish()
        end = 2
    attached = bench.inference.AttachGeneration(_attach(generation_id, end + beyond))
    code, info = await failure_of(attached.read())
    assert (code, info.reason) == (grpc.StatusCode.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE")
    at_end = bench.inference.AttachGeneration(_attach(generation_id, end))
    await generation_id_of(at_end)
    if not has_ended:
        await job.finish()
        assert [event.offset for event in await rest_of(at_end)] == [1]
