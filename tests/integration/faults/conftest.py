"""Fixtures of the store's faults under real gateways and workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.integration.faults.house import House, running_house
from tests.support.conditions import until
from tests.support.redis_server import RedisServer

SYNC_SECONDS = 30.0

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def open_house(tmp_path: Path) -> OpenHouse:
    """`open_house(url, ...)`: gateway and workers over the store at `url`."""
    return partial(running_house, tmp_path)


@pytest.fixture
async def house(open_house: OpenHouse, own_redis_server: RedisServer) -> AsyncIterator[House]:
    """Over a Redis of this test alone, append-only, reached without detours."""
    async with open_house(own_redis_server.url) as house:
        yield house


async def is_in_sync(primary: RedisServer) -> bool:
    # Of the two, the primary learns last: until then it sends the replica nothing.
    with Redis(port=primary.port, protocol=2, driver_info=None) as client:
        facts: Any = client.info("replication")
    return bool(facts["connected_slaves"] and facts["slave0"]["state"] == "online")


@pytest.fixture
async def replica(tmp_path: Path, own_redis_server: RedisServer) -> AsyncIterator[RedisServer]:
    """Of the test's own server, in sync."""
    place = ("127.0.0.1", str(own_redis_server.port))
    with Redis(port=own_redis_server.port, protocol=2, driver_info=None) as client:
        client.config_set("repl-diskless-sync-delay", 0)
    server = RedisServer(tmp_path / "replica", options=("--replicaof", *place))
    server.start()
    try:
        await until(lambda: is_in_sync(own_redis_server), seconds=SYNC_SECONDS)
        yield server
    finally:
        server.stop()
