"""A store that is killed and comes back with what its append-only file holds."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tests.chaos.load import Kind
from tests.integration.faults.crowd import assert_held, assert_right, under_way
from tests.integration.faults.house import House
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

TENANT = "anonymous"


async def test_streams_pause_and_nothing_is_lost_when_the_store_restarts(
    house: House, own_redis_server: RedisServer
) -> None:
    # More than the workers hold: some wait in the store when it goes.
    running = house.crowd.ask(10)
    answers = house.crowd.ask(2, Kind.UNARY, tokens=10)
    submitted = house.crowd.ask(1, Kind.SUBMIT, tokens=10)
    await under_way(running)
    await asyncio.to_thread(own_redis_server.kill)
    refusals = await asyncio.gather(*(house.crowd.refusal() for _ in range(3)))
    assert set(refusals) == {(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")}
    await asyncio.to_thread(own_redis_server.restart)
    after = house.crowd.ask(2, tokens=10)
    await house.crowd.all_ended()
    assert_held(running)
    assert_right([*answers, *submitted, *after])
    for outcome in running:
        status = await house.queue.status(outcome.main.generation_id, TENANT)
        assert (status.attempts, status.deaths) == (1, 0)
