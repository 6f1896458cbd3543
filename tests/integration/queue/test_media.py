"""Media bytes in Redis."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from facet.core.errors import QuotaExceededError, StoreFullError, StoreUnavailableError
from facet.core.media_store import MediaHolder
from facet.queue.admission import Admission
from facet.queue.connection import RedisConnection
from facet.queue.keys import media_ledger_base
from facet.queue.limits import MAX_BATCH, MIN_RETENTION_MS
from facet.queue.lua import Script
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


HOLDERS = [MediaHolder(f"g-0-{i}", "acme", max_bytes=100) for i in range(3)]


class Ledger:
    """What is counted, and what a test does before a count is taken off."""

    def __init__(self, world: RedisWorld, release: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._redis = world.redis
        self._base = media_ledger_base(release)
        self._plan: list[Callable[[], Awaitable[None]]] = []
        run = RedisConnection.run

        async def before_release(
            connection: RedisConnection, script: Script, *arguments: Any, **options: Any
        ) -> Any:
            if script.name == "release_media" and self._plan:
                await self._plan.pop()()
            return await run(connection, script, *arguments, **options)

        monkeypatch.setattr(RedisConnection, "run", before_release)

    def before_release(self, act: Callable[[], Awaitable[None]]) -> None:
        self._plan.append(act)

    @property
    def has_met(self) -> bool:
        """Whether what was planned took place."""
        return not self._plan

    async def counted(self, tenant: str = "acme") -> tuple[int, int]:
        """Bytes of all media and of the tenant's; the sums agree with the sets."""
        found = []
        for name in ("blob", f"own_blob:{tenant}"):
            kind, colon, member = name.partition(":")
            total = int(await self._redis.get(f"{self._base}:{kind}_bytes{colon}{member}") or 0)
            members = await self._redis.zrange(f"{self._base}:{kind}s{colon}{member}", 0, -1)
            assert total == sum(int(each.split()[0]) for each in members)
            found.append(total)
        return found[0], found[1]

    async def lives(self) -> list[int]:
        """Those of all keys of the ledger, in ms; -1 for none."""
        names = [name async for name in self._redis.scan_iter(f"{self._base}:*", 1000)]
        return [await self._redis.pttl(name) for name in names]


@pytest.fixture
async def limited(redis_server: RedisServer) -> AsyncIterator[tuple[RedisMediaStore, str]]:
    release = secrets.token_hex(8)
    store = RedisMediaStore.connect(redis_server.url, release=release, max_bytes=1_000)
    yield store, release
    await store.close()


async def test_bytes_are_counted_when_they_are_put_while_they_are_dropped(
    limited: tuple[RedisMediaStore, str], world: RedisWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, release = limited
    ledger = Ledger(world, release, monkeypatch)
    await store.put("key", b"a" * 60, life_seconds=600, holder=HOLDERS[0])
    # Of a shorter life: not even the time tells one count from the other.
    ledger.before_release(lambda: store.put("key", b"a" * 60, life_seconds=60, holder=HOLDERS[1]))
    await store.release(["key"], HOLDERS[0])
    assert ledger.has_met
    assert await store.get("key") == b"a" * 60
    assert await ledger.counted() == (60, 60)
    await store.release(["key"], HOLDERS[1])
    assert await store.get("key") is None
    assert await ledger.counted() == (0, 0)


async def test_what_is_stored_is_counted_when_puts_and_releases_race(
    limited: tuple[RedisMediaStore, str], world: RedisWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, release = limited
    ledger = Ledger(world, release, monkeypatch)

    async def come_and_go(number: int) -> None:
        holder = MediaHolder(f"g-0-{number}", "acme", max_bytes=100)
        for turn in range(20):
            life_seconds = 60 + (number * turn) % 7
            await store.put("key", b"a" * 60, life_seconds=life_seconds, holder=holder)
            assert await store.get("key") is not None
            assert await ledger.counted() == (60, 60)
            await store.release(["key"], holder)

    await asyncio.gather(*(come_and_go(number) for number in range(4)))
    assert await store.get("key") is None
    assert await ledger.counted() == (0, 0)


async def test_nothing_is_counted_or_held_when_the_store_had_no_room_for_the_bytes(
    limited: tuple[RedisMediaStore, str], world: RedisWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, release = limited
    ledger = Ledger(world, release, monkeypatch)

    async def is_shedding(_: Admission) -> bool:
        return True

    with monkeypatch.context() as full:
        full.setattr(Admission, "is_shedding", is_shedding)
        with pytest.raises(StoreFullError):
            await store.put("key", b"a" * 60, life_seconds=60, holder=HOLDERS[0])
    assert await ledger.counted() == (0, 0)
    await store.put("key", b"a" * 60, life_seconds=60, holder=HOLDERS[1])
    await store.release(["key"], HOLDERS[1])
    assert await store.get("key") is None


async def test_bytes_of_others_stay_when_a_tenant_has_no_room_to_keep_them_longer(
    limited: tuple[RedisMediaStore, str], world: RedisWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, release = limited
    ledger = Ledger(world, release, monkeypatch)
    await store.put("key", b"a" * 60, life_seconds=60, holder=HOLDERS[0])
    poor = MediaHolder("g-0-1", "acme", max_bytes=10)
    with pytest.raises(QuotaExceededError):
        await store.put("other", b"b" * 20, life_seconds=600, holder=poor)
    await store.put("key", b"a" * 60, life_seconds=600, holder=poor)
    assert await ledger.counted() == (60, 60)
    for holder in (poor, HOLDERS[0]):
        assert await store.get("key") == b"a" * 60
        await store.release(["key"], holder)
    assert await store.get("key") is None
    assert await ledger.counted() == (0, 0)


async def test_counts_lapse_after_the_last_of_their_media_when_nobody_comes_again(
    limited: tuple[RedisMediaStore, str], world: RedisWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, release = limited
    ledger = Ledger(world, release, monkeypatch)
    await store.put("first", b"a" * 60, life_seconds=600, holder=HOLDERS[0])
    await store.put("second", b"b" * 30, life_seconds=60, holder=HOLDERS[1])
    await store.release(["second"], HOLDERS[1])
    lives = await ledger.lives()
    assert len(lives) == 4
    assert all(600_000 < life <= 600_000 + MIN_RETENTION_MS for life in lives)
