"""A hundred thousand requests whose deadlines pass while nobody sweeps."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from facet.queue.connection import Argument
from facet.queue.keys import Keys
from facet.queue.limits import MAX_CLAIM, MAX_SWEEP, QueueLimits
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import Priority, State
from tests.support.queue_contract.world import claim, submission
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

REQUESTS = 100_000
TENANTS = 1_000
RELEASE = "many"
PRIORITIES = list(Priority)
BATCH = 1_000
MAX_SCRIPT_MS = 5.0
ALIKE = 5
"""Scripts in a row that do the same work."""

SLOW_US = "500"
KEPT_ENTRIES = 20_000
LIMITS = QueueLimits(max_waiting=2 * REQUESTS, tenant_max_waiting=2 * REQUESTS)
CLAIM_EVERY = 100
"""Sweeps between two claims, which come upon expired requests too."""


class ScriptTimes:
    """How long the server's scripts took, by its slow log, in their order."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self.milliseconds: list[float] = []

    async def drain(self) -> None:
        """Take what was logged since the last time."""
        entries = await self._redis.slowlog_get(KEPT_ENTRIES)
        assert len(entries) < KEPT_ENTRIES
        await self._redis.slowlog_reset()
        self.milliseconds += [
            entry["duration"] / 1000
            for entry in reversed(entries)
            if entry["command"].startswith(b"EVALSHA")
        ]

    def own_ms(self) -> list[float]:
        """The times without those in which other processes had the processor.

        The slow log counts these too. Scripts of one kind do the same work; the quickest of a few
        in a row is one that was not interrupted.
        """
        times = self.milliseconds
        return [min(times[at : at + ALIKE]) for at in range(len(times) - ALIKE + 1)]


@pytest.fixture
def slow_log_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own that logs what is not very quick."""
    options = ("--slowlog-log-slower-than", SLOW_US, "--slowlog-max-len", str(KEPT_ENTRIES))
    server = RedisServer(tmp_path / "redis", options=options)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def redis(slow_log_server: RedisServer) -> AsyncIterator[Any]:
    client = Redis(port=slow_log_server.port, protocol=2, driver_info=None)
    yield client
    await client.aclose()


@pytest.fixture
async def queue(slow_log_server: RedisServer) -> AsyncIterator[TracedQueue]:
    queue = TracedQueue.connect(slow_log_server.url, release=RELEASE, model="nano", limits=LIMITS)
    yield queue
    await queue.close()


class TracedQueue(RedisQueue):
    """Keeps the last submission as the command that it was."""

    command: tuple[Any, ...] = ()

    async def _run_replicated(
        self, script: str, *arguments: Argument, **options: Any
    ) -> tuple[Any, int]:
        self.command = ("EVALSHA", self._scripts[script].sha, 1, self._keys.base, *arguments)
        return await super()._run_replicated(script, *arguments, **options)


async def fill(redis: Any, queue: TracedQueue) -> list[str]:
    """Submit them all, of many tenants and all classes; they expire at once.

    The first tells the command of all others, which differ in id, tenant and class and go in
    pipelines.
    """
    names = [f"g-0-{number}" for number in range(REQUESTS)]
    tenants = [f"tenant-{number % TENANTS}" for number in range(REQUESTS)]
    await queue.submit(
        submission(names[0], tenant=tenants[0], priority=PRIORITIES[0], deadline_ms=1)
    )
    head, (_, _, envelope, _), rest = queue.command[:4], queue.command[4:8], queue.command[8:]
    for start in range(1, REQUESTS, BATCH):
        pipeline = redis.pipeline(transaction=False)
        for at in range(start, min(start + BATCH, REQUESTS)):
            priority = int(PRIORITIES[at % len(PRIORITIES)])
            pipeline.execute_command(*head, names[at], tenants[at], envelope, priority, *rest)
        await pipeline.execute()
    return names


async def log_lengths(redis: Any, names: list[str]) -> list[int]:
    keys = Keys(RELEASE, "nano")
    lengths: list[int] = []
    for start in range(0, len(names), BATCH):
        pipeline = redis.pipeline(transaction=False)
        for name in names[start : start + BATCH]:
            pipeline.xlen(keys.of("log", name))
        lengths += await pipeline.execute()
    return lengths


@pytest.mark.timeout(240)
async def test_every_request_ends_once_in_short_steps_when_all_expired_at_once(
    redis: Any, queue: TracedQueue
) -> None:
    names = await fill(redis, queue)
    assert (await queue.depth()).waiting == REQUESTS
    times = ScriptTimes(redis)
    expired = calls = 0
    has_more = True
    while has_more:
        swept = await queue.sweep()
        assert swept.expired <= MAX_SWEEP
        expired, calls, has_more = expired + swept.expired, calls + 1, swept.has_more
        if calls % CLAIM_EVERY == 0:
            expired += await claim_among_expired(queue)
            await times.drain()
    await times.drain()

    assert expired == REQUESTS
    assert len(times.milliseconds) >= calls * 0.9
    assert max(times.own_ms()) <= MAX_SCRIPT_MS
    assert (await queue.depth()).waiting == 0
    assert set(await log_lengths(redis, names)) == {1}
    for number in range(0, REQUESTS, REQUESTS // 200):
        (entry,) = (await queue.read({names[number]: 0}, limit=2))[names[number]]
        assert entry.is_terminal
        status = await queue.status(names[number], f"tenant-{number % TENANTS}")
        assert (status.state, status.attempts) == (State.ENDED, 0)


async def claim_among_expired(queue: RedisQueue) -> int:
    """Claim, and find nothing; how many expired requests the claim came upon and ended."""
    before = (await queue.depth()).waiting
    claimed = await queue.claim(claim(nonce=secrets.token_hex(4)))
    assert not claimed.claimed
    ended = before - (await queue.depth()).waiting
    assert 0 <= ended <= MAX_CLAIM
    return ended
