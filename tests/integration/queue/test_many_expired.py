"""A hundred thousand requests whose deadlines pass while nobody sweeps."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
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
ALIKE = 9
"""Scripts in a row that do the same work."""

REFERENCE = """
for number = 1, 500 do redis.call('ZADD', KEYS[1], number, number) end
redis.call('DEL', KEYS[1])
"""
REFERENCE_MS = 1.8
"""On one core of the machine on which MAX_SCRIPT_MS was set, an AMD EPYC."""

LIMITS = QueueLimits(max_waiting=2 * REQUESTS, tenant_max_waiting=2 * REQUESTS)
CLAIM_EVERY = 100
"""Sweeps between two claims, which come upon expired requests too."""


class ScriptTimes:
    """What scripts of one kind take, in milliseconds of a machine that does nothing else.

    Each is measured in processor time of the server, which leaves out the time that others had the
    processor, against a script of known length just before it, which is slowed alike by those who
    share caches and cores.
    """

    def __init__(self, redis: Any, server: RedisServer) -> None:
        self._redis = redis
        self._server = server
        self.milliseconds: list[float] = []

    @asynccontextmanager
    async def script(self) -> AsyncIterator[None]:
        """Measure the one script that is called inside."""
        began = self._server.cpu_seconds()
        await self._redis.eval(REFERENCE, 1, "reference")
        between = self._server.cpu_seconds()
        yield
        took = self._server.cpu_seconds() - between
        self.milliseconds.append(took / (between - began) * REFERENCE_MS)

    def steady_ms(self) -> list[float]:
        """The median of each few in a row, which do the same work."""
        times = self.milliseconds
        return [median(times[at : at + ALIKE]) for at in range(len(times) - ALIKE + 1)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that nobody else makes work."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Any]:
    client = Redis(port=server.port, protocol=2, driver_info=None)
    yield client
    await client.aclose()


@pytest.fixture
async def queue(server: RedisServer) -> AsyncIterator[TracedQueue]:
    queue = TracedQueue.connect(server.url, release=RELEASE, model="nano", limits=LIMITS)
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
    redis: Any, queue: TracedQueue, server: RedisServer
) -> None:
    names = await fill(redis, queue)
    assert (await queue.depth()).waiting == REQUESTS
    sweeps, claims = ScriptTimes(redis, server), ScriptTimes(redis, server)
    expired = calls = 0
    has_more = True
    while has_more:
        async with sweeps.script():
            swept = await queue.sweep()
        assert swept.expired <= MAX_SWEEP
        expired, calls, has_more = expired + swept.expired, calls + 1, swept.has_more
        if calls % CLAIM_EVERY == 0:
            expired += await claim_among_expired(queue, claims)

    assert expired == REQUESTS
    for times in (sweeps, claims):
        assert max(times.steady_ms()) <= MAX_SCRIPT_MS
    assert (await queue.depth()).waiting == 0
    assert set(await log_lengths(redis, names)) == {1}
    for number in range(0, REQUESTS, REQUESTS // 200):
        (entry,) = (await queue.read({names[number]: 0}, limit=2))[names[number]]
        assert entry.is_terminal
        status = await queue.status(names[number], f"tenant-{number % TENANTS}")
        assert (status.state, status.attempts) == (State.ENDED, 0)


async def claim_among_expired(queue: RedisQueue, times: ScriptTimes) -> int:
    """Claim, and find nothing; how many expired requests the claim came upon and ended."""
    before = (await queue.depth()).waiting
    async with times.script():
        claimed = await queue.claim(claim(nonce=secrets.token_hex(4)))
    assert not claimed.claimed
    ended = before - (await queue.depth()).waiting
    assert 0 <= ended <= MAX_CLAIM
    return ended
