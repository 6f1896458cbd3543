"""One shard's server hangs or dies; the other shard goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from facet.core.errors import StoreUnavailableError
from facet.queue.memory_registry import MemoryRegistry, MemoryRegistryBooks
from facet.queue.redis_queue import RedisQueue
from facet.queue.sharded_queue import ShardedQueue
from facet.queue.shards import Shards
from facet.queue.values import Claimed, Verdict
from tests.support.conditions import until
from tests.support.queue_contract.world import TENANT, append, claim, names, submission
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

_CALL_SECONDS = 2.0
_SOON_SECONDS = 1.0


@pytest.fixture
async def queue(
    redis_server: RedisServer, own_redis_server: RedisServer, request: pytest.FixtureRequest
) -> AsyncIterator[ShardedQueue]:
    """Shard 0 on the shared server, shard 1 on one of its own, which may go away."""
    urls = [redis_server.url, own_redis_server.url]
    release = f"away-{time.monotonic_ns()}"
    registry = MemoryRegistry(MemoryRegistryBooks(), count=2)
    shards = Shards(
        registry,
        lambda at: RedisQueue.connect(urls[at], release=release, model="nano", shard=at),
        count=2,
    )
    queue = ShardedQueue(shards)
    await queue.follow("reader", {})
    for shard in range(2):
        made = submission(f"g-{shard}-1", reader_grace_ms=60_000)
        await queue.submit(replace(made, follower="reader"))
    yield queue
    await queue.close()


def go_away(server: RedisServer, how: str) -> None:
    server.pause() if how == "hangs" else server.kill()


def come_back(server: RedisServer, how: str) -> None:
    server.resume() if how == "hangs" else server.restart()


async def held(queue: ShardedQueue) -> list[Claimed]:
    """Both requests, in the order of their shards."""
    claimed = (await queue.claim(claim(limit=2))).claimed
    return sorted(claimed, key=lambda each: each.lease.generation_id)


@pytest.mark.parametrize("how", ["hangs", "dies"])
async def test_other_shard_is_written_and_read_when_one_is_away(
    queue: ShardedQueue, own_redis_server: RedisServer, how: str
) -> None:
    here, there = await held(queue)
    inbox = await queue.receive("reader", "0", block_ms=100)
    go_away(own_redis_server, how)
    for offset in range(3):
        receiving = asyncio.create_task(queue.receive("reader", inbox.cursor, block_ms=1_000))
        began = time.monotonic()
        assert (await queue.write([append(here, offset)]))[0].verdict is Verdict.OK
        inbox = await receiving
        assert time.monotonic() - began < _SOON_SECONDS
        assert [entry.first_offset for entry in inbox.entries] == [offset]
    began = time.monotonic()
    verdicts = await queue.heartbeat("worker-1", "print-1", [here.lease, there.lease])
    assert verdicts == [Verdict.OK, Verdict.UNANSWERED]
    with pytest.raises(StoreUnavailableError):
        await queue.write([append(there, 0)])
    assert time.monotonic() - began < 2 * _CALL_SECONDS
    come_back(own_redis_server, how)

    async def is_written() -> bool:
        try:
            result = (await queue.write([append(there, 0)]))[0]
        except StoreUnavailableError:
            return False
        # Or written by the first try.
        return result.next_offset == 1

    await until(is_written, seconds=10)
    arrived: list[str] = []
    for _ in range(10):
        inbox = await queue.receive("reader", inbox.cursor, block_ms=500)
        arrived += [entry.generation_id for entry in inbox.entries]
        if arrived:
            break
    if how == "hangs":
        assert arrived == ["g-1-1"]
    assert list(await queue.read({"g-1-1": 0}, limit=9)) == ["g-1-1"]


@pytest.mark.parametrize("how", ["hangs", "dies"])
async def test_other_shard_is_worked_on_when_one_is_away(
    queue: ShardedQueue, own_redis_server: RedisServer, how: str
) -> None:
    go_away(own_redis_server, how)
    began = time.monotonic()
    assert names(await queue.claim(claim(limit=2))) == ["g-0-1"]
    assert time.monotonic() - began < _CALL_SECONDS
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        await queue.submit(submission("g-1-2"))
    with pytest.raises(StoreUnavailableError):
        await queue.status("g-1-1", TENANT)
    assert time.monotonic() - began < 2 * _CALL_SECONDS
    await queue.ping()
    # The first look at whether it is back takes its time, later ones are rare.
    assert not (await queue.claim(claim(limit=2, held=1))).claimed
    waiting = asyncio.create_task(queue.wait_for_work("worker-1", 1_000))
    await asyncio.sleep(0)
    await queue.submit(submission("g-0-2"))
    began = time.monotonic()
    assert await waiting
    assert names(await queue.claim(claim(limit=2, held=1))) == ["g-0-2"]
    assert time.monotonic() - began < _SOON_SECONDS
    come_back(own_redis_server, how)

    async def is_claimed() -> bool:
        found = names(await queue.claim(claim(limit=9, held=2)))
        if not found:
            await queue.wait_for_work("worker-1", 200)
        return "g-1-1" in found

    await until(is_claimed, seconds=10)
