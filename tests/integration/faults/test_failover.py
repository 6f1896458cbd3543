"""A replica takes over that was behind, or that is another address of the URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.content import events_faults
from tests.chaos.load import Kind
from tests.chaos.store import Store
from tests.integration.faults.conftest import OpenHouse
from tests.integration.faults.crowd import all_accepted, assert_held, assert_right, under_way
from tests.support.conditions import until

pytestmark = pytest.mark.integration

LAG_SECONDS = 1.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "store")
    try:
        await store.start()
        await store.add_replica()
        yield store
    finally:
        store.stop()


async def test_streams_pause_and_nothing_is_lost_when_a_lagging_replica_takes_over(
    open_house: OpenHouse, store: Store
) -> None:
    async with open_house(store.url) as house:
        running = house.crowd.ask(6)
        await under_way(running)
        await store.caught_up()
        failing_over = asyncio.create_task(store.fail_over(LAG_SECONDS))
        # The replica hears nothing of these; some run by then, some wait.
        forgotten = house.crowd.ask(4)
        await all_accepted(forgotten)
        assert not failing_over.done(), "these are known to the replica"
        _, lengths = await failing_over
        delivered = {each.main.generation_id: each.main.next_offset for each in running}
        names = {each.main.generation_id for each in forgotten if each.main.is_open}
        assert names, "all had ended before the store forgot them"
        await house.crowd.all_ended()

        assert_held([*running, *forgotten])
        fallen_back = [name for name, offset in delivered.items() if lengths.get(name, 0) < offset]
        assert fallen_back, "no log was shorter than what had been delivered"
        assert not lengths.keys() & names
        after = [*house.crowd.ask(1, tokens=10), *house.crowd.ask(1, Kind.UNARY, tokens=10)]
        await house.crowd.all_ended()
        assert_right(after)


async def test_streams_end_and_nothing_wrong_is_delivered_when_the_workers_are_lost_too(
    open_house: OpenHouse, store: Store
) -> None:
    async with open_house(store.url) as house:
        running = house.crowd.ask(4, tokens=120)
        await under_way(running, speaking=4)
        await store.caught_up()
        failing_over = asyncio.create_task(store.fail_over(LAG_SECONDS))
        await asyncio.sleep(0)
        before = [each.main.next_offset for each in running]

        async def have_grown() -> bool:
            grown = (each.main.next_offset for each in running)
            return all(now > then + 1 for now, then in zip(grown, before, strict=True))

        await until(have_grown, seconds=LAG_SECONDS)
        # Nobody has the events that the replica never got.
        for worker in house.workers:
            worker.kill()
        _, lengths = await failing_over
        names = [each.main.generation_id for each in running]
        delivered = [each.main.next_offset for each in running]
        await house.crowd.all_ended()

        assert all(lengths[name] < offset for name, offset in zip(names, delivered, strict=True))
        # Other workers went on from what was left, cut otherwise and with an event of their own.
        assert [each.main.end for each in running] == ["LOG_REGRESSED"] * len(running)
        assert [each.main.next_offset for each in running] == delivered
        for outcome in running:
            assert events_faults(outcome.main.events, outcome.plan.answers) == []
        after = house.crowd.ask(2, tokens=10)
        await house.crowd.all_ended()
        assert_right(after)
