"""A replica takes over that was behind, or that is another address of the URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.load import Kind
from tests.chaos.store import Store
from tests.integration.faults.conftest import OpenHouse
from tests.integration.faults.crowd import all_accepted, assert_held, assert_right, under_way

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
        failing_over = asyncio.create_task(store.fail_over(LAG_SECONDS))
        # The replica hears nothing of these.
        forgotten = house.crowd.ask(4, tokens=10)
        await all_accepted(forgotten)
        assert not failing_over.done(), "these are known to the replica"
        _, lengths = await failing_over
        delivered = {each.main.generation_id: each.main.next_offset for each in running}
        await house.crowd.all_ended()

        assert_held([*running, *forgotten])
        fallen_back = [name for name, offset in delivered.items() if lengths.get(name, 0) < offset]
        assert fallen_back, "no log was shorter than what had been delivered"
        assert not lengths.keys() & {each.main.generation_id for each in forgotten}
        after = [*house.crowd.ask(1, tokens=10), *house.crowd.ask(1, Kind.UNARY, tokens=10)]
        await house.crowd.all_ended()
        assert_right(after)
