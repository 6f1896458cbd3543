"""A store that comes back as an older copy of itself, under live streams."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from facet.queue.values import State
from tests.integration.gateway.conftest import BenchMaker
from tests.integration.gateway.requests import (
    error_of,
    generation_id_of,
    info_of,
    logged,
    next_of,
    rest_of,
    streamed,
)
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration


async def test_request_is_queued_again_and_streams_when_the_store_forgot_it(
    own_redis_server: RedisServer, own_benches: BenchMaker
) -> None:
    bench = await own_benches.start()
    kept = bench.inference.StreamGenerateContent(streamed("kept"))
    await generation_id_of(kept)
    own_redis_server.keep_copy()
    forgotten = bench.inference.StreamGenerateContent(streamed("forgotten", request_id="r"))
    forgotten_id = await generation_id_of(forgotten)
    await asyncio.to_thread(own_redis_server.fall_back)
    for call in (kept, forgotten):
        job = await bench.worker.claim()
        assert job.envelope.generation_id == await generation_id_of(call)
        await job.say("one", "two")
        await job.finish()
        assert [event.offset for event in await rest_of(call)] == [0, 1, 2]
    # It has its idempotency key back.
    again = bench.inference.StreamGenerateContent(streamed("forgotten", request_id="r"))
    assert await generation_id_of(again) == forgotten_id
    assert [event.offset for event in await rest_of(again)] == [0, 1, 2]


async def test_stream_goes_on_without_a_repeat_when_the_log_catches_up(
    own_redis_server: RedisServer, own_benches: BenchMaker
) -> None:
    bench = await own_benches.start()
    call = bench.inference.StreamGenerateContent(streamed())
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    await job.say("a", "b")
    own_redis_server.keep_copy()
    await job.say("c")
    await job.say("d")
    seen: list[int] = []
    while len(seen) < 4:
        seen += [event.offset for event in logged(await next_of(call))]
    await asyncio.to_thread(own_redis_server.fall_back)
    # The worker has its events still; they are cut otherwise than before.
    job.fall_back(2)
    await job.say("c", "d", "e")
    assert [event.text_delta.text for event in logged(await next_of(call))] == ["e"]
    await job.finish()
    assert [event.offset for event in await rest_of(call)] == [5]
    status = await bench.queue.status(generation_id, "anonymous")
    assert (status.state, status.deaths) == (State.ENDED, 0)


async def test_stream_is_aborted_with_its_place_when_the_log_goes_on_otherwise(
    own_redis_server: RedisServer, own_benches: BenchMaker
) -> None:
    bench = await own_benches.start()
    call = bench.inference.StreamGenerateContent(streamed())
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    await job.say("a", "b")
    own_redis_server.keep_copy()
    await job.say("c", "d")
    seen: list[int] = []
    while len(seen) < 4:
        seen += [event.offset for event in logged(await next_of(call))]
    await asyncio.to_thread(own_redis_server.fall_back)
    job.fall_back(2)
    await job.say("c", "other")
    error = await error_of(rest_of(call))
    assert error.code() is grpc.StatusCode.ABORTED
    info = info_of(error)
    assert info.reason == "LOG_REGRESSED"
    assert dict(info.metadata) == {"generation_id": generation_id, "next_offset": "4"}
