"""The queue in Redis when memory runs out: only admission is shed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from facet.core.errors import StoreFullError, StoreUnavailableError
from facet.queue.media import RedisMediaStore
from facet.queue.values import OLDEST, Verdict
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    append,
    claim,
    finish,
    submission,
    terminal_of,
)
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

_BLOB = b"\x00" * 50_000


@pytest.fixture
async def small_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisWorld]:
    options = ("--maxmemory", "16mb", "--maxmemory-policy", "noeviction")
    server = RedisServer(tmp_path_factory.mktemp("small"), options=options)
    server.start()
    world = RedisWorld(server.url, release="small")
    yield world
    await world.close()
    server.stop()


async def fill(world: RedisWorld, share: float) -> None:
    """Use this share of the server's memory."""
    for number in range(10_000):
        memory = await world.redis.info("memory")
        if memory["used_memory"] >= share * memory["maxmemory"]:
            return
        await world.redis.set(f"filler-{number}", _BLOB)


async def test_admission_is_shed_and_accepted_work_ends_when_memory_is_short(
    small_world: RedisWorld,
) -> None:
    for i in range(4):
        await small_world.queue.submit(submission(f"g-0-{i}"))
        await small_world.advance(1)
    await fill(small_world, 0.76)

    with pytest.raises(StoreFullError) as refusal:
        await submit_when_noticed(small_world)
    assert (refusal.value.retry_after_seconds or 0) > 0
    assert (await small_world.queue.submit(submission("g-0-0"))).generation_id == "g-0-0"
    first, second, third = (await small_world.queue.claim(claim(limit=3))).claimed
    await small_world.queue.write([append(first, 0, [1]), finish(first, 1), finish(second)])
    await small_world.queue.cancel(third.lease.generation_id, TENANT)
    await small_world.queue.cancel("g-0-3", TENANT)
    for i in range(4):
        await terminal_of(small_world, f"g-0-{i}")


async def submit_when_noticed(world: RedisWorld) -> None:
    """Submit until the adapter has looked at the memory again; bounded."""
    for number in range(10_000):
        await world.queue.submit(submission(f"g-0-more-{number}"))
        await world.queue.cancel(f"g-0-more-{number}", TENANT)


async def test_request_is_refused_whole_when_the_server_has_no_memory(
    small_world: RedisWorld,
) -> None:
    await small_world.queue.submit(submission())
    before = await small_world.all_keys()
    await small_world.redis.config_set("maxmemory", 1)
    with pytest.raises(StoreFullError) as refusal:
        await small_world.queue.submit(submission("g-0-2"))
    assert (refusal.value.retry_after_seconds or 0) > 0
    assert sorted(await small_world.all_keys()) == sorted(before)
    assert (await small_world.queue.submit(submission())).generation_id == "g-0-1"


async def test_requests_can_end_when_the_server_has_no_memory(small_world: RedisWorld) -> None:
    for i in range(3):
        await small_world.queue.submit(submission(f"g-0-{i}"))
        await small_world.advance(1)
    first, second = (await small_world.queue.claim(claim(limit=2))).claimed
    await small_world.redis.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailableError):
        await small_world.queue.write([append(first)])
    (result,) = await small_world.queue.write([finish(first)])
    assert result.verdict is Verdict.OK
    await small_world.queue.cancel(second.lease.generation_id, TENANT)
    await small_world.queue.cancel("g-0-2", TENANT)
    for i in range(3):
        await terminal_of(small_world, f"g-0-{i}")


async def test_end_is_written_when_an_append_stands_before_it_and_there_is_no_memory(
    small_world: RedisWorld,
) -> None:
    for i in range(3):
        await small_world.queue.submit(submission(f"g-0-{i}"))
        await small_world.advance(1)
    first, second, third = (await small_world.queue.claim(claim(limit=3))).claimed
    await small_world.redis.config_set("maxmemory", 1)
    writes = [append(first), append(second, 0, [1]), finish(second, 1), finish(third, 7)]
    results = await small_world.queue.write(writes)
    assert [(each.verdict, each.next_offset) for each in results] == [
        *((Verdict.OK, 1), (Verdict.OK, 1), (Verdict.OK, 2)),
        (Verdict.WRONG_OFFSET, 0),
    ]
    await terminal_of(small_world, "g-0-1")
    leases = [first.lease, second.lease, third.lease]
    await small_world.redis.config_set("maxmemory", 0)
    assert await small_world.queue.heartbeat("worker-1", "print-1", leases) == [
        *(Verdict.OK, Verdict.LEASE_LOST, Verdict.OK)
    ]


async def test_lease_is_kept_when_its_worker_lives_and_there_is_no_memory(
    small_world: RedisWorld,
) -> None:
    await small_world.queue.submit(submission())
    (claimed,) = (await small_world.queue.claim(claim())).claimed
    await small_world.redis.config_set("maxmemory", 1)
    for _ in range(3):
        verdicts = await small_world.queue.heartbeat("worker-1", "print-1", [claimed.lease])
        assert verdicts == [Verdict.OK]
        await small_world.queue.sweep()
        await small_world.redis.config_set("maxmemory", 0)
        await small_world.advance(STEP_MS)
        await small_world.redis.config_set("maxmemory", 1)
    assert (await small_world.queue.sweep()).reaped == 0


async def test_reader_leaves_when_there_is_no_memory(small_world: RedisWorld) -> None:
    await small_world.queue.submit(replace(submission(), follower="reader-1"))
    await small_world.queue.follow("reader-1", {"g-0-1": 0})
    await small_world.redis.config_set("maxmemory", 1)
    assert (await small_world.queue.follow("reader-1", {"g-0-1": 0}))["g-0-1"].is_known
    await small_world.queue.unfollow("reader-1", ["g-0-1"])
    await small_world.queue.cancel("g-0-1", TENANT)
    assert (await small_world.queue.receive("reader-1", OLDEST, block_ms=0)).entries == ()


async def test_media_are_refused_when_memory_is_short(small_world: RedisWorld) -> None:
    store = RedisMediaStore.connect(small_world.url, release="small")
    await fill(small_world, 0.76)
    with pytest.raises(StoreFullError):
        await store.put("key", b"bytes", life_seconds=60)
    await small_world.redis.config_set("maxmemory", 1)
    with pytest.raises(StoreFullError) as refusal:
        await store.put("key", b"bytes", life_seconds=60)
    assert (refusal.value.retry_after_seconds or 0) > 0
    assert await store.get("key") is None
    await store.close()
