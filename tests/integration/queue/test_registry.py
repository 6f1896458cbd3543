"""The registry in Redis keeps its contract."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from facet.queue.keys import Keys
from facet.queue.registry import RedisRegistry, Registry
from tests.support.queue_contract import registering
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

_CLOCK = """
local function now_us()
  return 1000000000000000 + tonumber(redis.call('GET', base .. ':test-clock') or 0)
end"""


class RedisRegistryWorld:
    def __init__(self, url: str) -> None:
        self._url = url
        self._release = secrets.token_hex(8)
        self._base = Keys(self._release, "nano").base
        self._redis: Any = Redis.from_url(url, protocol=2, driver_info=None)
        self._registries: list[RedisRegistry] = []

    def registry(self, count: int) -> Registry:
        made = RedisRegistry.connect(
            self._url, release=self._release, model="nano", count=count, clock=_CLOCK
        )
        self._registries.append(made)
        return made

    async def advance(self, milliseconds: int) -> None:
        await self._redis.incrby(f"{self._base}:test-clock", milliseconds * 1_000)

    async def lose_all(self) -> None:
        for name in ("registry", "gateways", "active", "counts", "shards"):
            assert await self._redis.delete(f"{self._base}:{name}") == 1

    async def close(self) -> None:
        for registry in self._registries:
            await registry.close()
        await self._redis.aclose(close_connection_pool=True)


@pytest.fixture
async def registry_world(redis_server: RedisServer) -> AsyncIterator[RedisRegistryWorld]:
    world = RedisRegistryWorld(redis_server.url)
    yield world
    await world.close()


class TestRegistry(registering.RegistryContract):
    pass
