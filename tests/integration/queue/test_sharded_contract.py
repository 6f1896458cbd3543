"""A queue of three shards in Redis keeps the contract, but for an order over all shards."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from tests.support.queue_contract.memory_world import LIMITS
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.queue_contract.sharded_world import SHARDS, ShardedWorld
from tests.support.queue_contract.whole_sharded import *  # noqa: F403 - the tests themselves
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(redis_server: RedisServer) -> AsyncIterator[ShardedWorld]:
    release = secrets.token_hex(8)
    worlds = [
        RedisWorld(redis_server.url, release, stands=True, shard=shard) for shard in range(SHARDS)
    ]
    yield ShardedWorld(worlds, LIMITS)
    for world in worlds:
        await world.close()
