"""Fixtures of the queue's integration tests."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.redis_server import RedisServer


@pytest.fixture
async def world(redis_server: RedisServer) -> AsyncIterator[RedisWorld]:
    """A namespace of its own on the shared server."""
    world = RedisWorld(redis_server.url, release=secrets.token_hex(8), stands=True)
    yield world
    await world.close()


@pytest.fixture
async def own_world(own_redis_server: RedisServer) -> AsyncIterator[RedisWorld]:
    """On a server that the test may kill."""
    world = RedisWorld(own_redis_server.url, release="own")
    yield world
    await world.close()
