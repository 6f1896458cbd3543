"""Media bytes in Redis."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from facet.core.errors import StoreFullError, StoreUnavailableError
from facet.core.media_store import MediaHolder
from facet.queue.limits import MAX_BATCH
from facet.queue.media import RedisMediaStore
from tests.support.conditions import until
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.integration

MANY = 3 * MAX_BATCH
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


async def test_bytes_are_refused_when_all_media_would_take_too_many(
    redis_server: RedisServer,
) -> None:
    release = secrets.token_hex(8)
    store = RedisMediaStore.connect(redis_server.url, release=release, max_bytes=250)
    await store.put("first", b"a" * 100, life_seconds=60)
    await store.put("second", b"b" * 100, life_seconds=600)
    with pytest.raises(StoreFullError) as refusal:
        await store.put("third", b"c" * 100, life_seconds=60)
    assert (refusal.value.retry_after_seconds or 0) > 0
    assert await store.get("third") is None
    # What is counted already stays welcome, and what still fits is taken.
    await store.put("first", b"a" * 100, life_seconds=600)
    await store.put("small", b"d" * 50, life_seconds=60)
    other = RedisMediaStore.connect(redis_server.url, release=secrets.token_hex(8), max_bytes=100)
    await other.put("third", b"c" * 100, life_seconds=60)
    for each in (store, other):
        await each.close()


async def test_room_comes_back_when_media_lapse(redis_server: RedisServer) -> None:
    store = RedisMediaStore.connect(
        redis_server.url, release=secrets.token_hex(8), max_bytes=MANY * 10
    )
    # More of them than one call of the script takes off the count.
    await asyncio.gather(
        *(store.put(f"short-{i}", b"0123456789", life_seconds=1) for i in range(MANY))
    )
    with pytest.raises(StoreFullError):
        await store.put("whole", b"w" * MANY * 10, life_seconds=60)

    async def is_taken() -> bool:
        try:
            await store.put("whole", b"w" * MANY * 10, life_seconds=60)
        except StoreFullError:
            return False
        return True

    await until(is_taken, seconds=10)
    with pytest.raises(StoreFullError):
        await store.put("more", b"m", life_seconds=60)
    await store.close()


async def test_bytes_are_counted_once_when_many_put_the_same(redis_server: RedisServer) -> None:
    release = secrets.token_hex(8)
    stores = [
        RedisMediaStore.connect(redis_server.url, release=release, max_bytes=100) for _ in range(4)
    ]
    await asyncio.gather(*(each.put("key", b"a" * 60, life_seconds=60) for each in stores * 4))
    await stores[0].put("other", b"b" * 40, life_seconds=60)
    with pytest.raises(StoreFullError):
        await stores[1].put("third", b"c", life_seconds=60)
    for each in stores:
        await each.close()


async def test_bytes_stay_when_a_release_without_holders_stored_them(
    store: RedisMediaStore,
) -> None:
    holder = MediaHolder("g-0-2", "acme")
    await store.put("key", BYTES, life_seconds=60)
    await store.put("key", BYTES, life_seconds=30, holder=holder)
    await store.release(["key"], holder)
    assert await store.get("key") == BYTES


async def test_bytes_go_when_their_last_holder_releases_them(store: RedisMediaStore) -> None:
    holders = [MediaHolder(f"g-0-{i}", "acme") for i in range(2)]
    for holder in holders:
        await store.put("key", BYTES, life_seconds=60, holder=holder)
    await store.release(["key"], holders[0])
    assert await store.get("key") == BYTES
    await store.release(["key"], holders[1])
    assert await store.get("key") is None
