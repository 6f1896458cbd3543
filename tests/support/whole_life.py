"""One request from submission to its end, and some media, through whatever store there is."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from facet.core.errors import StoreUnavailableError
from facet.queue.answers import store_unavailable
from facet.queue.media import RedisMediaStore
from facet.queue.redis_queue import RedisQueue
from facet.queue.store import Store
from facet.queue.values import State, Verdict
from tests.support.queue_contract.world import TENANT, append, claim, finish, submission

CALL_SECONDS = 2.0
"""What a call may take, answered or not."""

_Answer = TypeVar("_Answer")


def queue_at(url: str, release: str = "topology") -> RedisQueue:
    """A queue that the caller closes."""
    return RedisQueue.connect(url, release=release, model="nano")


async def live_whole_life(queue: RedisQueue) -> None:
    """Submit, follow, claim, write, receive, finish and read; each call within its bound."""
    name, reader = f"g-0-{secrets.token_hex(4)}", secrets.token_hex(4)
    await in_time(queue.submit(submission(name)))
    await in_time(queue.follow(reader, {name: 0}))
    (claimed,) = (await in_time(queue.claim(claim()))).claimed
    assert claimed.lease.generation_id == name
    written = await in_time(queue.write([append(claimed, 0, [1, 2], count=2)]))
    assert [result.verdict for result in written] == [Verdict.OK]
    assert (await in_time(queue.receive(reader, "0", block_ms=200))).entries
    assert await in_time(queue.heartbeat("worker-1", "print-1", [claimed.lease])) == [Verdict.OK]
    ended = await in_time(queue.write([finish(claimed, 2)]))
    assert [result.verdict for result in ended] == [Verdict.OK]
    log = (await in_time(queue.read({name: 0}, limit=10)))[name]
    assert [entry.is_terminal for entry in log] == [False, True]
    assert (await in_time(queue.status(name, TENANT))).state is State.ENDED
    assert await in_time(queue.cancel(name, TENANT)) is False
    await in_time(queue.wait_for_work("worker-1", 100))
    await in_time(queue.sweep())


async def keep_media(at: Store | str, count: int = 1) -> None:
    """Put media and get them back; each call within its bound."""
    store = RedisMediaStore.connect(at, release="topology")
    try:
        data = {secrets.token_hex(8): secrets.token_bytes(1_000) for _ in range(count)}
        for key, content in data.items():
            await in_time(store.put(key, content, life_seconds=60))
        for key, content in data.items():
            assert await in_time(store.get(key)) == content
        assert await in_time(store.get("unknown")) is None
    finally:
        await store.close()


async def in_time(call: Awaitable[_Answer]) -> _Answer:
    """The answer; fails when it takes longer than a call may."""
    began = time.monotonic()
    answer = await call
    assert time.monotonic() - began < CALL_SECONDS
    return answer


async def assert_unavailable_soon(call: Callable[[], Awaitable[object]]) -> None:
    """The call is refused for want of the store, in the time that a call may take."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError) as caught:
        await call()
    assert caught.value.message == store_unavailable().message
    assert time.monotonic() - began < CALL_SECONDS


async def answer_of(call: Callable[[], Awaitable[_Answer]], *, seconds: float) -> _Answer:
    """The first answer of a call that is repeated while the store is away."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await call()
            except StoreUnavailableError:
                await asyncio.sleep(0.01)
