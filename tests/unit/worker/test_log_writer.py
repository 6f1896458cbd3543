"""The log writer against the in-memory queue, with lost replies and a store that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from facet.core.errors import StoreUnavailableError
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import Append, Finish, Lease, State, Verdict, WriteResult
from facet.worker.log_writer import Ending, Entry, LogWriter
from tests.unit.worker.scripted import TENANT, claim, submit

pytestmark = pytest.mark.unit


class FlakyQueue(MemoryQueue):
    """Loses replies of writes, or refuses them, as often as told; records batches."""

    def __init__(self) -> None:
        super().__init__()
        self.lost_replies = 0
        self.refusals = 0
        self.batches: list[Sequence[Append | Finish]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, writes: Sequence[Append | Finish]) -> list[WriteResult]:
        await self.gate.wait()
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailableError("away")
        self.batches.append(writes)
        results = await super().write(writes)
        if self.lost_replies:
            self.lost_replies -= 1
            raise StoreUnavailableError("reply lost")
        return results


@pytest.fixture
async def queue() -> FlakyQueue:
    queue = FlakyQueue()
    await submit(queue, "g", b"")
    return queue


@pytest.fixture
async def writer(queue: FlakyQueue) -> AsyncIterator[LogWriter]:
    writer = LogWriter(queue, patience_seconds=0.5)
    writing = asyncio.create_task(writer.run())
    yield writer
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


def entry(text: str, *ids: int) -> Entry:
    return Entry(text.encode(), 1, ids, drafted_tokens=3, accepted_tokens=len(ids))


async def logged(queue: MemoryQueue, name: str = "g") -> bytes:
    entries = (await queue.read({name: 0}, limit=100)).get(name, [])
    offsets = [e.first_offset for e in entries]
    assert offsets == sorted(set(offsets))
    return b"".join(e.response for e in entries)


async def test_events_are_merged_when_they_gather_during_a_write(
    queue: FlakyQueue, writer: LogWriter
) -> None:
    log = writer.open((await claim(queue, "n")).lease, 0)
    queue.gate.clear()
    log.append(entry("a", 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    log.append(entry("b", 2))
    log.append(entry("c", 3, 4))
    queue.gate.set()
    await asyncio.wait_for(log.settle(), 5)
    assert [(w.event_count, w.token_ids) for batch in queue.batches for w in batch] == [
        (1, (1,)),
        (2, (2, 3, 4)),
    ]
    assert await logged(queue) == b"abc"


async def test_one_round_trip_is_made_when_many_requests_have_events(
    queue: FlakyQueue, writer: LogWriter
) -> None:
    for index in range(9):
        await submit(queue, f"g{index}", b"")
    logs = [writer.open((await claim(queue, f"n{index}")).lease, 0) for index in range(10)]
    for log in logs:
        log.append(entry("a", 1))
    await asyncio.wait_for(asyncio.gather(*(log.settle() for log in logs)), 5)
    assert [len(batch) for batch in queue.batches] == [10]


async def test_nothing_is_written_twice_when_replies_are_lost(
    queue: FlakyQueue, writer: LogWriter
) -> None:
    log = writer.open((await claim(queue, "n")).lease, 0)
    for text in "abcdef":
        queue.lost_replies = 1
        log.append(entry(text, ord(text)))
        await asyncio.wait_for(log.settle(), 5)
    assert await logged(queue) == b"abcdef"
    await queue.hand_back([log.lease])
    assert (await claim(queue, "m")).token_ids == tuple(b"abcdef")


async def test_the_end_is_acknowledged_when_its_reply_was_lost(
    queue: FlakyQueue, writer: LogWriter
) -> None:
    log = writer.open((await claim(queue, "n")).lease, 0)
    log.append(entry("a", 1))
    queue.lost_replies = 2
    await asyncio.wait_for(log.finish(entry("z"), Ending(b"failure")), 5)
    assert not log.lost.is_set()
    assert await logged(queue) == b"az"
    status = await queue.status("g", TENANT)
    assert (status.state, status.failure) == (State.ENDED, b"failure")


async def test_events_are_kept_when_the_store_is_away_for_a_while(
    queue: FlakyQueue, writer: LogWriter
) -> None:
    log = writer.open((await claim(queue, "n")).lease, 0)
    queue.refusals = 2
    log.append(entry("a", 1))
    await asyncio.wait_for(log.settle(), 5)
    assert not log.lost.is_set()
    assert await logged(queue) == b"a"


async def test_the_lease_is_given_up_when_the_store_stays_away(
    queue: FlakyQueue, writer: LogWriter
) -> None:
    log = writer.open((await claim(queue, "n")).lease, 0)
    queue.refusals = 1_000
    log.append(entry("a", 1))
    await asyncio.wait_for(log.lost.wait(), 5)


async def test_the_lease_is_lost_when_the_request_was_cancelled(
    queue: FlakyQueue, writer: LogWriter
) -> None:
    log = writer.open((await claim(queue, "n")).lease, 0)
    await queue.cancel("g", TENANT)
    await asyncio.wait_for(log.finish(entry("a", 1), Ending()), 5)
    assert log.lost.is_set()
    assert log.lost.is_set()


async def test_the_log_is_written_again_when_the_store_fell_back(
    queue: FlakyQueue, writer: LogWriter
) -> None:
    log = writer.open((await claim(queue, "n")).lease, 0)
    for text in "ab":
        log.append(entry(text, ord(text)))
        await asyncio.wait_for(log.settle(), 5)
    record = queue._ledger.find("g")
    assert record is not None
    record.log.pop()
    record.next_offset = 1
    log.append(entry("c", ord("c")))
    await asyncio.wait_for(log.settle(), 5)
    assert await logged(queue) == b"abc"


async def test_the_lease_is_lost_when_the_store_stands_where_we_never_did(
    queue: FlakyQueue, writer: LogWriter
) -> None:
    log = writer.open((await claim(queue, "n")).lease, 5)
    log.append(entry("a", 1))
    await asyncio.wait_for(log.lost.wait(), 5)


async def test_the_log_goes_on_when_a_lease_that_the_store_forgot_is_taken_back(
    queue: FlakyQueue, writer: LogWriter
) -> None:
    # The store stands before the claim: the lease is one that it has not given yet.
    lease = Lease("g", 1, "forgotten")
    log = writer.open(lease, 0)
    log.append(entry("a", 1))
    async with asyncio.timeout(5):
        while log.rewound_at is None:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    log.append(entry("b", 2))
    assert not log.lost.is_set()
    assert await logged(queue) == b""
    assert await queue.heartbeat("worker", "print", [lease]) == [Verdict.OK]
    log.take_back()
    await asyncio.wait_for(log.drained.wait(), 5)
    assert await logged(queue) == b"ab"


async def test_earlier_ids_are_void_when_an_answer_starts_over(
    queue: FlakyQueue, writer: LogWriter
) -> None:
    first = writer.open((await claim(queue, "n-1")).lease, 0)
    first.append(entry("a", 1))
    await asyncio.wait_for(first.drained.wait(), 5)
    await queue.hand_back([first.lease])
    second = writer.open((await claim(queue, "n-2", "simulated-1")).lease, 1)
    second.append(replace(entry("restart"), voids_ids=True))
    second.append(entry("b", 7))
    await asyncio.wait_for(second.drained.wait(), 5)
    await queue.hand_back([second.lease])
    assert (await claim(queue, "n-3", "simulated-1")).token_ids == (7,)
