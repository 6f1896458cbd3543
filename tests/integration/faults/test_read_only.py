"""A store that only reads: a primary that lost its role, and a replica that is left alone."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from redis import Redis

from tests.integration.faults.conftest import OpenHouse
from tests.integration.faults.crowd import Crowd, assert_held, assert_right, under_way
from tests.integration.faults.house import House
from tests.support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.integration

REPLICATED_SECONDS = 10.0


def replicate(server: RedisServer, *place: str | int) -> None:
    with Redis(port=server.port, protocol=2, driver_info=None) as client:
        client.execute_command("REPLICAOF", *place)


def reach_replica(primary: RedisServer) -> None:
    """Return when the replica holds all that was written until now."""
    with Redis(port=primary.port, protocol=2, driver_info=None) as client:
        client.set("barrier", 1)
        assert client.wait(1, int(REPLICATED_SECONDS * 1000)) == 1


async def assert_refuses(crowd: Crowd) -> None:
    refusals = await asyncio.gather(*(crowd.refusal() for _ in range(3)))
    assert set(refusals) == {(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")}


async def test_streams_pause_when_the_store_loses_its_role_for_a_while(
    house: House, own_redis_server: RedisServer
) -> None:
    running = house.crowd.ask(6)
    await under_way(running)
    replicate(own_redis_server, "127.0.0.1", free_port())
    await assert_refuses(house.crowd)
    replicate(own_redis_server, "NO", "ONE")
    after = house.crowd.ask(2, tokens=10)
    await house.crowd.all_ended()
    assert_held(running)
    assert_right(after)


async def test_streams_go_on_at_the_replica_when_it_is_promoted_after_the_primary_died(
    open_house: OpenHouse, own_redis_server: RedisServer, replica: RedisServer
) -> None:
    url = f"{own_redis_server.url},127.0.0.1:{replica.port}"
    async with open_house(url) as house:
        running = house.crowd.ask(6)
        await under_way(running)
        # A replica that knows none of the requests is another store: they would be told as lost.
        await asyncio.to_thread(reach_replica, own_redis_server)
        await asyncio.to_thread(own_redis_server.kill)
        await assert_refuses(house.crowd)
        replicate(replica, "NO", "ONE")
        after = house.crowd.ask(2, tokens=10)
        await house.crowd.all_ended()
        assert_held(running)
        assert_right(after)
