"""One task reads for everybody: wake-ups, back-pressure, outages."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from facet.core.errors import LogRegressedError, StoreUnavailableError
from facet.gateway import log_reader as log_reader_module
from facet.gateway.log_reader import BLOCK_MS, LogReader
from facet.gateway.subscription import Subscription
from facet.queue import memory_inbox
from facet.queue.limits import QueueLimits
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import Followed, Inbox, LogEntry
from tests.support.conditions import until
from tests.unit.gateway.events import Log, entry, offsets, submit

pytestmark = pytest.mark.unit

PROMPTLY_SECONDS = BLOCK_MS / 1000 / 2


class CountingQueue(MemoryQueue):
    """Counts calls and what `read` returns; is away while told so, or for some follows."""

    def __init__(self, failing_follows: int = 0) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.followed: list[list[str]] = []
        self.failing_follows = failing_follows
        self.entries_read = 0
        self.is_away = False

    async def read(self, cursors: Mapping[str, int], *, limit: int) -> dict[str, list[LogEntry]]:
        self._count("read")
        news = await super().read(cursors, limit=limit)
        self.entries_read += sum(map(len, news.values()))
        return news

    async def receive(self, follower: str, cursor: str, *, block_ms: int) -> Inbox:
        self._count("receive")
        return await super().receive(follower, cursor, block_ms=block_ms)

    async def follow(
        self, follower: str, positions: Mapping[str, int], *, received: str = ""
    ) -> dict[str, Followed]:
        self._count("follow")
        self.followed.append(list(positions))
        if self.calls["follow"] <= self.failing_follows:
            raise StoreUnavailableError("away")
        return await super().follow(follower, positions, received=received)

    def _count(self, call: str) -> None:
        self.calls[call] += 1
        if self.is_away:
            raise StoreUnavailableError("away")


@asynccontextmanager
async def _running(reader: LogReader) -> AsyncIterator[None]:
    task = asyncio.create_task(reader.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await until(holds)


async def _offsets(subscription: Subscription, count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            batch = await subscription.next(PROMPTLY_SECONDS)
            assert batch is not None, f"nothing came after {found}"
            found += offsets(batch.response)
    return found


async def test_only_the_inbox_is_kept_alive_when_nobody_subscribes() -> None:
    queue = CountingQueue()
    async with _running(LogReader(queue)):
        await asyncio.sleep(0.05)
        assert queue.calls == {"follow": 1}
        assert queue.followed == [[]]


async def test_events_come_at_once_when_a_read_for_others_is_under_way() -> None:
    queue = CountingQueue()
    reader = LogReader(queue)
    first, second = await Log.on(queue), await Log.on(queue)
    async with _running(reader):
        with reader.subscribe(first.generation_id) as idle:
            assert await idle.next(0.02) is None
            await second.say("a")
            with reader.subscribe(second.generation_id) as late:
                assert await _offsets(late, 1) == [0]


async def test_both_get_everything_when_two_follow_one_log() -> None:
    queue = CountingQueue()
    reader = LogReader(queue)
    log = await Log.on(queue)
    async with _running(reader):
        with reader.subscribe(log.generation_id) as early:
            await log.say("a", "b")
            assert await _offsets(early, 2) == [0, 1]
            with reader.subscribe(log.generation_id) as late:
                await log.say("c")
                assert await _offsets(late, 3) == [0, 1, 2]
                assert await _offsets(early, 1) == [2]
                await log.finish()
                assert await _offsets(late, 1) == await _offsets(early, 1) == [3]


async def test_log_stays_unread_when_its_client_stalls() -> None:
    queue = CountingQueue()
    reader = LogReader(queue, buffer_bytes=1000)
    stalled_log, other_log = await Log.on(queue), await Log.on(queue)
    for _ in range(300):
        await stalled_log.say("x" * 100)
    async with _running(reader):
        with (
            reader.subscribe(stalled_log.generation_id) as stalled,
            reader.subscribe(other_log.generation_id) as other,
        ):
            for offset in range(20):
                await other_log.say("y")
                assert await _offsets(other, 1) == [offset]
            # One read of at most 64 entries filled the buffer.
            assert queue.entries_read <= 64 + 20
            read_before = queue.entries_read
            await stalled_log.say("z")
            await other_log.say("y")
            assert await _offsets(other, 1) == [20]
            assert queue.entries_read == read_before
            assert await _offsets(stalled, 301) == list(range(301))


async def test_stream_goes_on_when_the_store_comes_back() -> None:
    queue = CountingQueue()
    reader = LogReader(queue)
    log = await Log.on(queue)
    queue.is_away = True
    async with _running(reader):
        with reader.subscribe(log.generation_id) as subscription:
            await log.say("a")
            assert await subscription.next(0.6) is None
            # It asks now and then, not in a busy loop.
            assert all(2 <= count <= 5 for count in queue.calls.values()), queue.calls
            queue.is_away = False
            assert await _offsets(subscription, 1) == [0]


async def _follows(queue: CountingQueue, count: int) -> None:
    async def enough() -> bool:
        return queue.calls["follow"] >= count

    await until(enough)


async def test_all_followed_are_renewed_in_one_call_when_the_time_comes() -> None:
    queue = CountingQueue()
    reader = LogReader(queue, grace_seconds=0.06)
    await submit(queue, "a")
    await submit(queue, "b")
    with reader.subscribe("a"), reader.subscribe("a"), reader.subscribe("b"):
        async with _running(reader):
            await _follows(queue, 3)
    assert queue.followed[:3] == [["a", "b"]] * 3


async def test_renewal_comes_within_a_lease_time_when_the_grace_is_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert QueueLimits().lease_ms >= log_reader_module.MAX_FOLLOW_SECONDS * 1000
    monkeypatch.setattr(log_reader_module, "MAX_FOLLOW_SECONDS", 0.01)
    queue = CountingQueue()
    reader = LogReader(queue, grace_seconds=3600)
    await submit(queue, "a")
    with reader.subscribe("a"):
        async with _running(reader):
            await _follows(queue, 4)
    assert queue.followed[:4] == [["a"]] * 4


async def test_renewal_is_repeated_soon_when_the_store_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_reader_module, "RETRY_SECONDS", 0.01)
    queue = CountingQueue(failing_follows=2)
    reader = LogReader(queue, grace_seconds=3600)
    await submit(queue, "a")
    with reader.subscribe("a"):
        async with _running(reader):
            await _follows(queue, 3)
    assert queue.followed[:3] == [["a"]] * 3


class LateQueue(MemoryQueue):
    """Its `read` answers with what was there when it was asked, once told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()

    async def read(self, cursors: Mapping[str, int], *, limit: int) -> dict[str, list[LogEntry]]:
        news = await super().read(cursors, limit=limit)
        self.asked.set()
        await self.answers.wait()
        return news


async def test_event_comes_at_once_when_it_is_logged_while_the_log_is_read() -> None:
    queue = LateQueue()
    reader = LogReader(queue)
    log = await Log.on(queue)
    await log.say("a")
    async with _running(reader):
        with reader.subscribe(log.generation_id, 0) as subscription:
            await asyncio.wait_for(queue.asked.wait(), 5)
            await queue.follow(reader.follower, {log.generation_id: 0})
            await log.say("b")
            # It arrives in the inbox, behind a gap, before the read is answered.
            await asyncio.sleep(0.05)
            queue.answers.set()
            assert await _offsets(subscription, 2) == [0, 1]


class SlowToFollow(CountingQueue):
    """Answers to `follow` are what was true before `may_answer` was set."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def follow(
        self, follower: str, positions: Mapping[str, int], *, received: str = ""
    ) -> dict[str, Followed]:
        answer = await super().follow(follower, positions, received=received)
        await self.may_answer.wait()
        return answer


async def test_nothing_is_read_again_when_the_answer_to_following_is_late() -> None:
    queue = SlowToFollow()
    reader = LogReader(queue)
    log = await Log.on(queue)
    async with _running(reader):
        with reader.subscribe(log.generation_id) as subscription:
            await _until(lambda: queue.followed[-1:] == [[log.generation_id]])
            for offset in range(3):
                await log.say("x")
                assert await _offsets(subscription, 1) == [offset]
            read = queue.entries_read
            queue.may_answer.set()
            await _until(lambda: len(queue.followed) > 1)
            await log.say("y")
            assert await _offsets(subscription, 1) == [3]
            assert queue.entries_read == read


async def test_only_the_new_stream_is_followed_when_others_are_already() -> None:
    queue = CountingQueue()
    reader = LogReader(queue)
    logs = [await Log.on(queue) for _ in range(3)]
    names = [log.generation_id for log in logs]
    async with _running(reader):
        with reader.subscribe(names[0]), reader.subscribe(names[1]):
            await _until(lambda: queue.followed[-1:] == [names[:2]])
            with reader.subscribe(names[2]) as subscription:
                await _until(lambda: queue.followed[-1:] == [names[2:]])
                await logs[2].say("x")
                assert await _offsets(subscription, 1) == [0]


class DeafQueue(MemoryQueue):
    """Nothing arrives in inboxes."""

    async def receive(self, follower: str, cursor: str, *, block_ms: int) -> Inbox:
        await asyncio.sleep(0.05)
        return Inbox(cursor, ())


async def test_stream_goes_on_when_nothing_arrives_in_the_inbox() -> None:
    queue = DeafQueue()
    reader = LogReader(queue)
    log = await Log.on(queue)
    async with _running(reader):
        with reader.subscribe(log.generation_id) as subscription:
            for offset in range(3):
                await log.say("x")
                assert await _offsets(subscription, 1) == [offset]


class PausingQueue(MemoryQueue):
    """What arrives in inboxes waits while `may_receive` is not set."""

    def __init__(self) -> None:
        super().__init__()
        self.may_receive = asyncio.Event()
        self.may_receive.set()

    async def receive(self, follower: str, cursor: str, *, block_ms: int) -> Inbox:
        await self.may_receive.wait()
        inbox = await super().receive(follower, cursor, block_ms=block_ms)
        if self.may_receive.is_set():
            return inbox
        return Inbox(cursor, ())


async def test_streams_go_on_from_their_logs_when_the_inbox_overflowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_inbox, "INBOX_ENTRIES", 8)
    queue = PausingQueue()
    reader = LogReader(queue)
    logs = [await Log.on(queue) for _ in range(3)]
    async with _running(reader):
        with ExitStack() as stack:
            streams = [stack.enter_context(reader.subscribe(log.generation_id)) for log in logs]
            for log, stream in zip(logs, streams, strict=True):
                await log.say("first")
                assert await _offsets(stream, 1) == [0]
            queue.may_receive.clear()
            for _ in range(10):
                for log in logs:
                    await log.say("more")
            queue.may_receive.set()
            for stream in streams:
                assert await _offsets(stream, 10) == list(range(1, 11))
            for log, stream in zip(logs, streams, strict=True):
                await log.say("last")
                assert await _offsets(stream, 1) == [11]


async def test_only_one_stream_ends_when_its_log_is_damaged() -> None:
    queue = MemoryQueue()
    reader = LogReader(queue)
    damaged, sound = await Log.on(queue), await Log.on(queue)
    await damaged.say("a", "b")
    async with _running(reader):
        with reader.subscribe(sound.generation_id) as other:
            with reader.subscribe(damaged.generation_id, 1) as subscription:
                subscription.push([replace(entry(0, "a", "b"), response=b"\xff")])
                with pytest.raises(LogRegressedError):
                    await subscription.next(1)
            await sound.say("c")
            assert await _offsets(other, 1) == [0]


async def test_all_streams_end_when_the_reader_is_drained() -> None:
    reader = LogReader(MemoryQueue())
    with reader.subscribe("a") as first, reader.subscribe("b") as second:
        reader.drain()
        for subscription in (first, second):
            with pytest.raises(Exception, match="shuts down"):
                await subscription.next(0)
