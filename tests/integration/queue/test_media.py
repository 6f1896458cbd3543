"""Media bytes in Redis."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from facet.core.errors import StoreUnavailableError
from facet.queue.media import RedisMediaStore
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.integration

BYTES = bytes(range(256)) * 1000


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisMediaStore]:
    store = RedisMediaStore.connect(redis_server.url, release=secrets.token_hex(8))
    yield store
    await store.close()


async def life_of(world: RedisWorld, key: str) -> int:
    (name,) = [name async for name in world.redis.scan_iter(f"*:{key}", 1000)]
    life: int = await world.redis.ttl(name)
    return life


async def test_bytes_come_back_when_stored(store: RedisMediaStore) -> None:
    await store.put("key", BYTES, life_seconds=60)
    assert await store.get("key") == BYTES


async def test_nothing_comes_back_when_unknown(store: RedisMediaStore) -> None:
    assert await store.get("none") is None


async def test_life_is_extended_and_never_cut_when_stored_again(
    store: RedisMediaStore, world: RedisWorld
) -> None:
    key = secrets.token_hex(8)
    await store.put(key, BYTES, life_seconds=60)
    await store.put(key, BYTES, life_seconds=600)
    assert 590 <= await life_of(world, key) <= 600
    await store.put(key, BYTES, life_seconds=30)
    assert 590 <= await life_of(world, key) <= 600


async def test_bytes_are_stored_again_when_they_had_lapsed(
    store: RedisMediaStore, world: RedisWorld
) -> None:
    key = secrets.token_hex(8)
    await store.put(key, BYTES, life_seconds=60)
    (name,) = [name async for name in world.redis.scan_iter(f"*:{key}", 1000)]
    await world.redis.pexpire(name, 0)
    assert await store.get(key) is None
    await store.put(key, BYTES, life_seconds=60)
    assert await store.get(key) == BYTES


async def test_releases_are_apart_when_on_one_server(
    store: RedisMediaStore, redis_server: RedisServer
) -> None:
    await store.put("key", BYTES, life_seconds=60)
    other = RedisMediaStore.connect(redis_server.url, release="other")
    assert await other.get("key") is None
    await other.close()


async def test_store_is_unavailable_when_no_server_listens() -> None:
    store = RedisMediaStore.connect(f"redis://127.0.0.1:{free_port()}", release="none")
    with pytest.raises(StoreUnavailableError):
        await store.put("key", b"bytes", life_seconds=60)
    with pytest.raises(StoreUnavailableError):
        await store.get("key")
    await store.close()
