"""What replicas of the autoscaler share through Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from facet.queue.limits import MAX_TIMINGS
from facet.queue.scaling import RedisScalingMemory
from tests.support.queue_contract.redis_world import RedisWorld

pytestmark = pytest.mark.integration


@pytest.fixture
async def memory(world: RedisWorld) -> AsyncIterator[RedisScalingMemory]:
    memory = world.scaling_memory()
    yield memory
    await memory.close()


async def test_one_leads_when_two_ask(world: RedisWorld, memory: RedisScalingMemory) -> None:
    assert await memory.lead("a", 1000) == 1
    assert await memory.lead("b", 1000) == 0
    await world.advance(900)
    assert await memory.lead("a", 1000) == 1
    await world.advance(900)
    assert await memory.lead("b", 1000) == 0
    await world.advance(101)
    assert await memory.lead("b", 1000) == 2
    assert await memory.lead("b", 0) == 2
    assert await memory.lead("a", 1000) == 3


async def test_nothing_is_kept_when_the_epoch_is_over(
    world: RedisWorld, memory: RedisScalingMemory
) -> None:
    first = await memory.lead("a", 1000)
    assert await memory.record(first, b"one", b"m1")
    await world.advance(1000)
    assert not await memory.record(first, b"late", b"late")
    second = await memory.lead("b", 1000)
    assert not await memory.record(first, b"late", b"late")
    kept = await memory.recall()
    assert (kept.decision, kept.memory, kept.epoch) == (b"one", b"m1", 2)
    assert kept.now_ms - kept.at_ms == 1000
    assert await memory.record(second, b"two", b"m2")
    kept = await world.queue.scaling()
    assert (kept.decision, kept.memory, kept.now_ms - kept.at_ms) == (b"two", b"m2", 0)


async def test_nothing_is_there_when_nobody_decided(memory: RedisScalingMemory) -> None:
    kept = await memory.recall()
    assert (kept.at_ms, kept.decision, kept.memory, kept.epoch) == (0, b"", b"", 0)
    assert await memory.take_timings() == []


async def test_each_sample_is_taken_once_when_there_are_more_than_are_kept(
    memory: RedisScalingMemory,
) -> None:
    await memory.put_timings([str(i).encode() for i in range(MAX_TIMINGS + 150)])
    taken: list[bytes] = []
    while batch := await memory.take_timings():
        assert len(batch) <= 100
        taken += batch
    assert taken == [str(i).encode() for i in range(150, MAX_TIMINGS + 150)]
