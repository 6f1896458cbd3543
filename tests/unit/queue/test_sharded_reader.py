"""A reader of several shards, some of which do not answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from facet.core.errors import StoreUnavailableError
from facet.queue.memory_inbox import Inboxes
from facet.queue.values import Claimed
from facet.queue.views import Depth
from tests.support.queue_contract.world import TENANT, append, claim, submission
from tests.unit.queue.away_shards import AwayShards

pytestmark = pytest.mark.unit


@pytest.fixture
async def two() -> AsyncIterator[AwayShards]:
    shards = AwayShards(2)
    await shards.queue.follow("reader", {})
    for shard in range(2):
        made = submission(f"g-{shard}-1", reader_grace_ms=60_000)
        await shards.queue.submit(replace(made, follower="reader"))
    yield shards
    await shards.queue.close()


async def append_to(shards: AwayShards, claims: Sequence[Claimed], offset: int) -> None:
    await shards.queue.write([append(each, offset) for each in claims])


async def received(
    shards: AwayShards, cursor: str, count: int
) -> tuple[list[tuple[str, int]], str]:
    """So many entries, sorted, and the cursor behind them."""
    found: list[tuple[str, int]] = []
    for _ in range(10):
        inbox = await shards.queue.receive("reader", cursor, block_ms=500)
        cursor = inbox.cursor
        found += [(entry.generation_id, entry.first_offset) for entry in inbox.entries]
        if len(found) >= count:
            break
    return sorted(found), cursor


async def test_entries_of_all_shards_arrive_once_when_read_on(two: AwayShards) -> None:
    claims = (await two.queue.claim(claim(limit=2))).claimed
    await append_to(two, claims, 0)
    first, cursor = await received(two, "0", 2)
    assert first == [("g-0-1", 0), ("g-1-1", 0)]
    await append_to(two, claims, 1)
    second, cursor = await received(two, cursor, 2)
    assert second == [("g-0-1", 1), ("g-1-1", 1)]
    began = time.monotonic()
    assert (await two.queue.receive("reader", cursor, block_ms=60)).entries == ()
    assert 0.05 <= time.monotonic() - began < 0.5
    again, _ = await received(two, "0", 4)
    assert again == [("g-0-1", 0), ("g-0-1", 1), ("g-1-1", 0), ("g-1-1", 1)]


async def test_others_are_read_when_one_shard_does_not_answer(two: AwayShards) -> None:
    await append_to(two, (await two.queue.claim(claim(limit=2))).claimed, 0)
    two.shards[0].is_away = True
    found, cursor = await received(two, "0", 1)
    assert found == [("g-1-1", 0)]
    assert list(await two.queue.read({"g-0-1": 0, "g-1-1": 0}, limit=9)) == ["g-1-1"]
    with pytest.raises(StoreUnavailableError):
        await two.queue.read({"g-0-1": 0}, limit=9)
    two.shards[0].is_away = False
    found, _ = await received(two, cursor, 1)
    assert found == [("g-0-1", 0)]


async def test_inbox_is_read_from_its_beginning_when_its_shard_was_away(two: AwayShards) -> None:
    claims = (await two.queue.claim(claim(limit=2))).claimed
    for offset in range(3):
        await append_to(two, claims, offset)
    _, cursor = await received(two, "0", 6)
    two.shards[0].is_away = True
    inbox = await two.queue.receive("reader", cursor, block_ms=50)
    two.shards[0].is_away = False
    # It came back with another inbox, which counts anew.
    two.shards[0]._ledger.inboxes = Inboxes()
    await two.queue.follow("reader", {})
    await append_to(two, claims, 3)
    found, _ = await received(two, inbox.cursor, 2)
    assert found == [("g-0-1", 3), ("g-1-1", 3)]


async def test_shard_is_tried_with_pauses_when_it_does_not_answer(two: AwayShards) -> None:
    two.shards[0].is_away = True
    before = two.shards[0].calls
    inbox = await two.queue.receive("reader", "0", block_ms=100)
    for _ in range(4):
        inbox = await two.queue.receive("reader", inbox.cursor, block_ms=100)
    assert two.shards[0].calls - before <= 4
    two.shards[1].is_away = True
    with pytest.raises(StoreUnavailableError):
        await two.queue.receive("reader", inbox.cursor, block_ms=3_000)


async def test_presence_is_renewed_elsewhere_when_one_shard_does_not_answer(
    two: AwayShards,
) -> None:
    two.shards[0].is_away = True
    timers = two.shards[1]._ledger.timers
    timers["g-1-1"] = 0
    with pytest.raises(StoreUnavailableError):
        await two.queue.follow("reader", {"g-0-1": 0, "g-1-1": 0})
    assert timers["g-1-1"] > 0


async def test_store_answers_when_one_of_its_shards_does(two: AwayShards) -> None:
    two.shards[0].is_away = True
    await two.queue.ping()
    with pytest.raises(StoreUnavailableError):
        await two.queue.sweep()
    two.shards[1].is_away = True
    with pytest.raises(StoreUnavailableError):
        await two.queue.ping()


async def test_depth_is_the_sum_when_all_shards_hold_something(two: AwayShards) -> None:
    each: list[Depth] = list((await two.queue.depths()).values())
    both = await two.queue.depth()
    assert (both.waiting, both.waiting_bytes) == (2, sum(one.waiting_bytes for one in each))
    assert not await two.queue.is_empty()
    await two.queue.cancel("g-0-1", TENANT)
    assert await two.queue.delete("g-0-1", TENANT)
    assert not await two.queue.is_empty()
    await two.queue.cancel("g-1-1", TENANT)
    assert await two.queue.delete("g-1-1", TENANT)
    assert await two.queue.is_empty()
