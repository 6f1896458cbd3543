"""Contract of `Reader` and of the workers' reports."""

from __future__ import annotations

import asyncio
import time

from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    World,
    append,
    claim_one,
    finish,
    log_of,
    submission,
)

BLOCK_MS = 5_000


class ReadContract:
    async def test_only_news_come_when_the_cursor_is_moved(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, 0, count=3), append(claimed, 3)])
        first, second = await log_of(world)
        news = await world.queue.read({"g-0-1": first.cursor}, block_ms=0, limit=10)
        assert news == {"g-0-1": [second]}
        assert await world.queue.read({"g-0-1": second.cursor}, block_ms=0, limit=10) == {}

    async def test_entries_are_limited_when_there_are_more(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, offset) for offset in range(5)])
        cursor, offsets = "0", []
        while news := await world.queue.read({"g-0-1": cursor}, block_ms=0, limit=2):
            assert len(news["g-0-1"]) <= 2
            offsets += [entry.first_offset for entry in news["g-0-1"]]
            cursor = news["g-0-1"][-1].cursor
        assert offsets == [0, 1, 2, 3, 4]

    async def test_read_waits_when_nothing_is_logged_yet(self, world: World) -> None:
        await world.queue.submit(submission())
        reading = asyncio.create_task(
            world.queue.read({"g-0-1": "0", "g-0-none": "0"}, block_ms=BLOCK_MS, limit=10)
        )
        claimed = await claim_one(world)
        began = time.monotonic()
        await world.queue.write([finish(claimed, failure=b"why")])
        (entry,) = (await reading)["g-0-1"]
        assert (entry.is_terminal, entry.failure) == (True, b"why")
        assert time.monotonic() - began < 1

    async def test_read_ends_empty_when_the_time_is_over(self, world: World) -> None:
        began = time.monotonic()
        assert await world.queue.read({"g-0-1": "0"}, block_ms=60, limit=10) == {}
        assert 0.05 <= time.monotonic() - began < 1

    async def test_read_ends_empty_when_interrupted(self, world: World) -> None:
        for _ in range(2):
            reading = asyncio.create_task(
                world.queue.read({"g-0-1": "0"}, block_ms=BLOCK_MS, limit=10)
            )
            began = time.monotonic()
            await world.queue.interrupt()
            assert await reading == {}
            assert time.monotonic() - began < 1

    async def test_next_read_ends_when_interrupted_before(self, world: World) -> None:
        await world.queue.interrupt()
        began = time.monotonic()
        assert await world.queue.read({"g-0-1": "0"}, block_ms=BLOCK_MS, limit=10) == {}
        assert time.monotonic() - began < 1

    async def test_read_can_be_interrupted_when_it_waits_for_nothing(self, world: World) -> None:
        reading = asyncio.create_task(world.queue.read({}, block_ms=BLOCK_MS, limit=10))
        await world.queue.interrupt()
        assert await asyncio.wait_for(reading, 1) == {}

    async def test_all_readers_get_all_entries_when_reading_together(self, world: World) -> None:
        for i in range(3):
            await world.queue.submit(submission(f"g-0-{i}"))
            await world.queue.cancel(f"g-0-{i}", TENANT)
        cursors = {f"g-0-{i}": "0" for i in range(3)}
        reads = await asyncio.gather(
            *(world.queue.read(cursors, block_ms=0, limit=10) for _ in range(2))
        )
        assert [set(news) for news in reads] == [set(cursors)] * 2


class ReportContract:
    async def test_reports_are_seen_when_renewed(self, world: World) -> None:
        await world.queue.report("worker-1", b"\x00one")
        await world.queue.report("worker-2", b"two")
        await world.queue.report("worker-1", b"\x00newer")
        assert sorted(await world.queue.reports()) == [b"\x00newer", b"two"]

    async def test_reports_lapse_when_not_renewed(self, world: World) -> None:
        await world.queue.report("worker-1", b"one")
        for _ in range(4):
            await world.advance(STEP_MS)
            await world.queue.report("worker-2", b"two")
        assert await world.queue.reports() == [b"two"]
        await world.queue.sweep()
        assert await world.queue.reports() == [b"two"]

    async def test_ping_answers_when_the_store_is_there(self, world: World) -> None:
        await world.queue.ping()
