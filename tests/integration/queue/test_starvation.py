"""Nobody starves: a batch request is served in bounded turns beside endless better ones."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facet.queue.limits import AGE_BATCH_MS, AGED_TURN
from facet.queue.values import Claim, Claimed, Priority, Room
from tests.support.queue_contract.memory_world import MemoryWorld
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.queue_contract.world import World, finish, submission
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

BACKLOG = 6
"""Better requests that wait before every claim, at least."""
SEATS = 4
ROOM_TOKENS = 9_000
TURNS_EACH = AGED_TURN + 1 + SEATS
"""Rounds of all workers for one batch request: some pass it, then one may empty itself for it."""


@dataclass(frozen=True)
class Flood:
    """What never ends, and what waits behind it. Prompts take turns through their lists."""

    better: tuple[tuple[Priority, int], ...]
    batch: tuple[int, ...]
    workers: int
    limit: int
    ends: int


FLOODS = st.builds(
    Flood,
    better=st.lists(
        st.tuples(
            st.sampled_from([Priority.INTERACTIVE, Priority.INTERACTIVE, Priority.STANDARD]),
            st.sampled_from([1, 900, 4_000]),
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
    batch=st.lists(st.sampled_from([1, 900, 8_000]), min_size=1, max_size=4).map(tuple),
    workers=st.integers(1, 3),
    limit=st.integers(1, 4),
    ends=st.integers(1, SEATS),
)


@dataclass
class Worker:
    """Holds what it claimed; in each of its turns it ends some of it, then asks for more."""

    name: str
    held: list[Claimed] = field(default_factory=list)

    async def turn(self, world: World, flood: Flood, nonce: str) -> list[str]:
        ended, self.held = self.held[: flood.ends], self.held[flood.ends :]
        if ended:
            await world.queue.write([finish(each) for each in ended])
        free_tokens = ROOM_TOKENS - sum(each.charged_tokens for each in self.held)
        free = SEATS - len(self.held)
        if not free:
            return []
        room = Room(SEATS, ROOM_TOKENS, free, free_tokens)
        asked = Claim(
            self.name, nonce, min(flood.limit, free), len(self.held), "print-1", room=room
        )
        claimed = (await world.queue.claim(asked)).claimed
        self.held += claimed
        return [each.lease.generation_id for each in claimed]


async def serve(world: World, flood: Flood) -> None:
    """Let the batch requests get old, then flood the queue until all of them were served."""
    waiting = {f"g-0-batch{number}" for number in range(len(flood.batch))}
    for number, prompt_tokens in enumerate(flood.batch):
        await submit(world, f"g-0-batch{number}", Priority.BATCH, prompt_tokens)
    await world.advance(AGE_BATCH_MS + 1)
    workers = [Worker(f"worker-{number}") for number in range(flood.workers)]
    submitted = claimed = 0
    for turn in range(len(flood.batch) * TURNS_EACH):
        for worker in workers:
            while submitted < claimed + BACKLOG:
                priority, prompt_tokens = flood.better[submitted % len(flood.better)]
                await submit(world, f"g-0-{submitted}", priority, prompt_tokens)
                submitted += 1
            got = await worker.turn(world, flood, f"nonce-{turn}-{worker.name}")
            claimed += sum(name not in waiting for name in got)
            waiting -= set(got)
            await world.advance(100)
        if not waiting:
            return
    raise AssertionError(f"{waiting} still wait")


async def submit(world: World, name: str, priority: Priority, prompt_tokens: int) -> None:
    tenant = f"tenant-{name[-1]}"
    plain = submission(name, tenant=tenant, priority=priority, deadline_ms=10**7)
    await world.queue.submit(replace(plain, prompt_tokens=prompt_tokens))


def flooded(run: Callable[[Flood], Awaitable[None]], examples: int) -> None:
    """Draw floods, and run each."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(flood=FLOODS)
    def each(flood: Flood) -> None:
        async def example() -> None:
            await run(flood)

        asyncio.run(example())

    each()


def test_batch_is_served_in_bounded_turns_when_better_ones_never_end_in_memory() -> None:
    flooded(lambda flood: serve(MemoryWorld(), flood), examples=300)


def test_batch_is_served_in_bounded_turns_when_better_ones_never_end_in_redis(
    redis_server: RedisServer,
) -> None:
    async def run(flood: Flood) -> None:
        world = RedisWorld(redis_server.url, secrets.token_hex(8), stands=True)
        try:
            await serve(world, flood)
        finally:
            await world.close()

    flooded(run, examples=60)
