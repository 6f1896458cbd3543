"""Acceptance that is told only once a replica has the request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Any

import grpc
import pytest
from redis import Redis

from facet.api.v1 import generation_pb2
from facet.api.v1.inference_service_pb2 import (
    GetGenerationRequest,
    StreamGenerateContentRequest,
    SubmitGenerationRequest,
)
from facet.queue.keys import Keys
from tests.chaos.client import Outcome
from tests.chaos.load import Kind
from tests.integration.faults.conftest import OpenHouse
from tests.integration.faults.crowd import (
    assert_held,
    assert_right,
    failed_soon,
    question,
    under_way,
)
from tests.support.lateness import measured_lateness
from tests.support.redis_server import RedisServer

PROMPT_SECONDS = 1.0
"""Less than a call waits for a connection that waits for a replica."""

PAUSE_SECONDS = 0.05

pytestmark = pytest.mark.integration


def is_known(server: RedisServer, generation_id: str) -> bool:
    """Whether a server holds the request."""
    key = Keys("default", "nano").of("record", generation_id)
    with Redis(port=server.port, protocol=2, driver_info=None) as client:
        return bool(client.exists(key))


async def untold(call: Awaitable[Any], generation_id: str = "") -> str:
    """The id of a generation that is accepted, which its call is not told for want of a replica."""
    code, info = await failed_soon(call)
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert info.metadata["replicas"] == "0"
    assert generation_id in ("", info.metadata["generation_id"])
    return str(info.metadata["generation_id"])


def asked(number: int, request_id: str) -> generation_pb2.GenerationRequest:
    request = question(number, 10)
    request.request_id = request_id
    return request


async def test_acceptance_is_told_when_the_replica_has_the_request(
    open_house: OpenHouse, own_redis_server: RedisServer, replica: RedisServer
) -> None:
    async with open_house(own_redis_server.url, workers=1, submit_replicas=1) as house:
        stub = house.crowd.stub
        for number in range(12):
            submit = SubmitGenerationRequest(request=asked(number, f"told-{number}"))
            answer = await stub.SubmitGeneration(submit, timeout=10)
            assert is_known(replica, answer.generation.generation_id)

        replica.pause()
        try:
            submit = SubmitGenerationRequest(request=asked(0, "untold"))
            name = await untold(stub.SubmitGeneration(submit, timeout=10))
            # Its repeat wrote nothing new, and is not told either.
            await untold(stub.SubmitGeneration(submit, timeout=10), name)
            stream = StreamGenerateContentRequest(request=asked(1, "unread"))
            unread = await untold(stub.StreamGenerateContent(stream, timeout=10).read())
            status = await stub.GetGeneration(GetGenerationRequest(generation_id=name))
            assert status.generation.generation_id == name
        finally:
            replica.resume()

        answer = await stub.SubmitGeneration(submit, timeout=10)
        assert answer.generation.generation_id == name
        assert is_known(replica, name)
        call = stub.StreamGenerateContent(stream, timeout=10)
        assert dict(await call.initial_metadata())["facet-generation-id"] == unread
        call.cancel()
        after = [*house.crowd.ask(2, tokens=10), *house.crowd.ask(1, Kind.UNARY, tokens=10)]
        await house.crowd.all_ended()
        assert_right(after)


async def test_streams_go_on_when_many_calls_wait_for_a_replica_that_hangs(
    open_house: OpenHouse, own_redis_server: RedisServer, replica: RedisServer
) -> None:
    async with open_house(own_redis_server.url, submit_replicas=1) as house:
        running = house.crowd.ask(4)
        await under_way(running)
        replica.pause()
        try:
            # Many more than the connections that may wait.
            waiting = house.crowd.ask(48, tokens=5)
            known = GetGenerationRequest(generation_id=running[0].main.generation_id)
            while not are_closed(running):
                async with measured_lateness() as lateness:
                    began = time.monotonic()
                    await house.crowd.stub.GetGeneration(known, timeout=10)
                    took_seconds = time.monotonic() - began
                assert took_seconds < PROMPT_SECONDS + lateness.seconds
                await asyncio.sleep(PAUSE_SECONDS)
            assert_held(running)
            assert all(outcome.main.is_open for outcome in waiting)
        finally:
            replica.resume()
        await house.crowd.all_ended()
        assert_right(waiting)
        assert all(outcome.main.transient for outcome in waiting)


def are_closed(outcomes: Sequence[Outcome]) -> bool:
    return not any(outcome.main.is_open for outcome in outcomes)
