"""Contract of `Reader` and of the workers' reports."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from facet.queue.limits import INBOX_ENTRIES, INBOX_MS, MAX_BATCH, MAX_FOLLOWERS
from facet.queue.values import OLDEST, Append, Followed
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
    async def test_only_news_come_when_the_offset_is_moved(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, 0, count=3), append(claimed, 3)])
        first, second = await log_of(world)
        assert await world.queue.read({"g-0-1": 3}, limit=10) == {"g-0-1": [second]}
        assert await world.queue.read({"g-0-1": 4}, limit=10) == {}
        assert await world.queue.read({"g-0-1": 1}, limit=10) == {"g-0-1": [first, second]}
        assert await world.queue.read({"g-0-none": 0}, limit=10) == {}

    async def test_entries_are_limited_when_there_are_more(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, offset) for offset in range(5)])
        offsets: list[int] = []
        while news := await world.queue.read({"g-0-1": len(offsets)}, limit=2):
            assert len(news["g-0-1"]) <= 2
            offsets += [entry.first_offset for entry in news["g-0-1"]]
        assert offsets == [0, 1, 2, 3, 4]

    async def test_all_logs_are_read_when_there_are_many(self, world: World) -> None:
        cursors = {f"g-0-{i}": 0 for i in range(40)}
        for name in cursors:
            await world.queue.submit(submission(name))
            await world.queue.cancel(name, TENANT)
        assert set(await world.queue.read(cursors, limit=10)) == set(cursors)


class FollowContract:
    async def test_entries_arrive_when_a_submission_names_its_follower(self, world: World) -> None:
        await world.queue.follow("reader-1", {})
        await world.queue.submit(replace(submission(), follower="reader-1"))
        receiving = asyncio.create_task(world.queue.receive("reader-1", "0", block_ms=BLOCK_MS))
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, 0, count=2)])
        inbox = await receiving
        while not inbox.entries:
            inbox = await world.queue.receive("reader-1", inbox.cursor, block_ms=BLOCK_MS)
        (entry,) = inbox.entries
        assert (entry.generation_id, entry.first_offset, entry.event_count) == ("g-0-1", 0, 2)
        await world.queue.write([finish(claimed, 2, failure=b"why")])
        inbox = await world.queue.receive("reader-1", inbox.cursor, block_ms=BLOCK_MS)
        (entry,) = inbox.entries
        assert (entry.is_terminal, entry.failure) == (True, b"why")
        inbox = await world.queue.receive("reader-1", inbox.cursor, block_ms=20)
        assert inbox.entries == ()

    async def test_both_get_entries_when_two_follow_one_log(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, 0)])
        for reader in ("reader-1", "reader-2"):
            followed = await world.queue.follow(reader, {"g-0-1": 0, "g-0-none": 0})
            assert followed["g-0-1"] == Followed(is_known=True, next_offset=1)
            assert not followed["g-0-none"].is_known
        await world.queue.write([append(claimed, 1)])
        await world.queue.unfollow("reader-2", ["g-0-1"])
        await world.queue.write([append(claimed, 2)])
        assert await _arrived(world, "reader-1") == [1, 2]
        assert await _arrived(world, "reader-2") == [1]

    async def test_nothing_is_put_in_an_inbox_when_its_follower_is_gone(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.follow("reader-1", {"g-0-1": 0})
        await world.advance(INBOX_MS + 1)
        await world.queue.heartbeat("worker-1", "print-1", [claimed.lease])
        await world.queue.write([append(claimed, 0)])
        assert await _arrived(world, "reader-1") == []
        await world.queue.follow("reader-1", {"g-0-1": 0})
        await world.queue.write([append(claimed, 1)])
        assert await _arrived(world, "reader-1") == [1]

    async def test_news_do_not_arrive_when_the_follower_has_no_inbox(self, world: World) -> None:
        await world.queue.submit(replace(submission(), follower="reader-1"))
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, 0)])
        await world.queue.follow("reader-1", {})
        await world.queue.write([append(claimed, 1)])
        assert await _arrived(world, "reader-1") == [1]
        missed = await world.queue.read({"g-0-1": 0}, limit=10)
        assert [entry.first_offset for entry in missed["g-0-1"]] == [0, 1]

    async def test_oldest_makes_room_when_a_log_has_many_followers(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        readers = [f"reader-{i}" for i in range(MAX_FOLLOWERS + 1)]
        for reader in [*readers, readers[1]]:
            await world.queue.follow(reader, {"g-0-1": 0})
        await world.queue.write([append(claimed, 0)])
        arrived = [await _arrived(world, reader) for reader in readers]
        assert arrived == [[], *[[0]] * MAX_FOLLOWERS]

    async def test_inbox_is_bounded_when_its_follower_does_not_read(self, world: World) -> None:
        await world.queue.submit(replace(submission(), follower="reader-1"))
        await world.queue.follow("reader-1", {})
        claimed = await claim_one(world)
        total = (INBOX_ENTRIES // MAX_BATCH + 10) * MAX_BATCH
        for offset in range(0, total, MAX_BATCH):
            batch = range(offset, offset + MAX_BATCH)
            await world.queue.write([Append(claimed.lease, at, 1, (), b"") for at in batch])
        offsets: list[int] = []
        cursor = "0"
        while inbox := await world.queue.receive("reader-1", cursor, block_ms=0):
            if inbox.cursor == cursor:
                break
            cursor = inbox.cursor
            offsets += [entry.first_offset for entry in inbox.entries]
        assert offsets == list(range(offsets[0], total))
        assert INBOX_ENTRIES <= len(offsets) < INBOX_ENTRIES + 2 * MAX_BATCH

    async def test_reader_goes_on_at_the_end_when_its_inbox_overflowed(self, world: World) -> None:
        await world.queue.submit(replace(submission(), follower="reader-1"))
        await world.queue.follow("reader-1", {})
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, 0)])
        inbox = await world.queue.receive("reader-1", OLDEST, block_ms=0)
        assert [entry.first_offset for entry in inbox.entries] == [0]
        total = 1 + INBOX_ENTRIES + 3 * MAX_BATCH
        for offset in range(1, total, MAX_BATCH):
            batch = range(offset, min(offset + MAX_BATCH, total))
            await world.queue.write([Append(claimed.lease, at, 1, (), b"") for at in batch])
        inbox = await world.queue.receive("reader-1", inbox.cursor, block_ms=0)
        assert (inbox.entries, inbox.has_overflown) == ((), True)
        await world.queue.write([append(claimed, total)])
        inbox = await world.queue.receive("reader-1", inbox.cursor, block_ms=0)
        assert [entry.first_offset for entry in inbox.entries] == [total]
        assert not inbox.has_overflown

    async def test_nothing_overflowed_when_much_came_after_all_was_received(
        self, world: World
    ) -> None:
        await world.queue.submit(replace(submission(), follower="reader-1"))
        await world.queue.follow("reader-1", {})
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, 0)])
        cursor = (await world.queue.receive("reader-1", OLDEST, block_ms=0)).cursor
        for _ in range(2):
            await world.queue.follow("reader-1", {"g-0-1": 1}, received=cursor)
        # More than one read of the inbox brings.
        total = INBOX_ENTRIES // 2
        for offset in range(1, total, MAX_BATCH):
            batch = range(offset, min(offset + MAX_BATCH, total))
            await world.queue.write([Append(claimed.lease, at, 1, (), b"") for at in batch])
        offsets: list[int] = []
        while len(offsets) < total - 1:
            inbox = await world.queue.receive("reader-1", cursor, block_ms=0)
            assert not inbox.has_overflown
            cursor = inbox.cursor
            offsets += [entry.first_offset for entry in inbox.entries]
        assert offsets == list(range(1, total))

    async def test_inbox_holds_nothing_when_all_was_received(self, world: World) -> None:
        await world.queue.submit(replace(submission(), follower="reader-1"))
        await world.queue.follow("reader-1", {})
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, 0), append(claimed, 1)])
        cursor = (await world.queue.receive("reader-1", OLDEST, block_ms=0)).cursor
        await world.queue.follow("reader-1", {"g-0-1": 2}, received=cursor)
        inbox = await world.queue.receive("reader-1", OLDEST, block_ms=0)
        assert (inbox.entries, inbox.has_overflown) == ((), False)
        # It is not told again of the same.
        await world.queue.follow("reader-1", {"g-0-1": 2}, received=inbox.cursor)
        assert await world.queue.receive("reader-1", inbox.cursor, block_ms=0) == inbox

    async def test_inbox_lives_on_when_its_follower_is_heard_of(self, world: World) -> None:
        await world.queue.submit(replace(submission(), follower="reader-1"))
        claimed = await claim_one(world)
        for _ in range(3):
            await world.queue.follow("reader-1", {})
            await world.advance(INBOX_MS - 1_000)
        await world.queue.heartbeat("worker-1", "print-1", [claimed.lease])
        await world.queue.write([append(claimed, 0)])
        assert await _arrived(world, "reader-1") == [0]

    async def test_other_inboxes_are_untouched_when_one_log_is_unfollowed(
        self, world: World
    ) -> None:
        for i in range(2):
            await world.queue.submit(replace(submission(f"g-0-{i}"), follower="reader-1"))
        await world.queue.follow("reader-1", {})
        await world.queue.unfollow("reader-1", ["g-0-0", "g-0-none"])
        for i in range(2):
            await world.queue.cancel(f"g-0-{i}", TENANT)
        inbox = await world.queue.receive("reader-1", "0", block_ms=20)
        assert [entry.generation_id for entry in inbox.entries] == ["g-0-1"]

    async def test_receive_waits_when_nothing_has_arrived(self, world: World) -> None:
        await world.queue.follow("reader-1", {})
        inbox = await world.queue.receive("reader-1", "0", block_ms=0)
        began = time.monotonic()
        assert (await world.queue.receive("reader-1", inbox.cursor, block_ms=60)) == inbox
        assert 0.05 <= time.monotonic() - began < 1


async def _arrived(world: World, follower: str) -> list[int]:
    inbox = await world.queue.receive(follower, "0", block_ms=20)
    return [entry.first_offset for entry in inbox.entries]


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
