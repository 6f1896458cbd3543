"""Following a generation: signs of life, lost logs, limits in time."""

from __future__ import annotations

import asyncio
import time

import pytest

from facet.core.errors import (
    DeadlineExceededError,
    EngineStalledError,
    StoreUnavailableError,
)
from facet.gateway import follower as follower_module
from facet.gateway.follower import Follower, raise_failure
from facet.gateway.log_reader import LogReader
from facet.gateway.subscription import Batch
from facet.queue.memory_queue import MemoryQueue
from facet.queue.views import Status
from tests.unit.gateway.events import TENANT, Log, entry, submit

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "FIRST_STATUS_SECONDS", 0.05)
    monkeypatch.setattr(follower_module, "STATUS_INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(follower_module, "OVERDUE_SECONDS", 0.1)


class AwayQueue(MemoryQueue):
    """Knows nothing at present."""

    async def status(self, generation_id: str, tenant: str) -> Status:
        raise StoreUnavailableError("away")


async def test_place_in_the_queue_is_told_when_a_request_waits() -> None:
    queue = MemoryQueue()
    await submit(queue, "first")
    await submit(queue, "second")
    with LogReader(queue).subscribe("second") as subscription:
        follower = Follower(queue, subscription, tenant=TENANT, ends_at=time.monotonic() + 5)
        status = await follower.next()
        assert isinstance(status, Status)
        assert status.requests_ahead == 1


async def test_nothing_is_told_when_a_worker_has_the_request() -> None:
    queue = MemoryQueue()
    log = await Log.on(queue)
    with LogReader(queue).subscribe(log.generation_id) as subscription:
        follower = Follower(queue, subscription, tenant=TENANT, ends_at=time.monotonic() + 0.2)
        with pytest.raises(DeadlineExceededError):
            await follower.next()


async def test_events_are_delivered_when_they_arrive() -> None:
    queue = MemoryQueue()
    with LogReader(queue).subscribe("g") as subscription:
        follower = Follower(queue, subscription, tenant=TENANT, ends_at=time.monotonic() + 5)
        subscription.push([entry(0, "a")])
        batch = await follower.next()
        assert isinstance(batch, Batch)
        assert batch.response == entry(0, "a").response


async def test_stream_is_held_until_its_deadline_when_the_store_is_away() -> None:
    queue = AwayQueue()
    started = time.monotonic()
    with LogReader(queue).subscribe("g") as subscription:
        follower = Follower(queue, subscription, tenant=TENANT, ends_at=started + 0.2)
        with pytest.raises(DeadlineExceededError):
            await follower.next()
    assert 0.3 <= time.monotonic() - started < 1


async def test_log_is_followed_to_its_end_when_its_deadline_is_long_over() -> None:
    queue = MemoryQueue()
    log = await Log.on(queue)
    await log.say("a")
    await log.finish()
    with LogReader(queue).subscribe(log.generation_id) as subscription:
        follower = Follower(queue, subscription, tenant=TENANT, ends_at=time.monotonic() - 10)
        reading = asyncio.create_task(follower.next())
        await asyncio.sleep(0.2)
        assert not reading.done()
        news = await queue.read({log.generation_id: 0}, limit=9)
        subscription.push(news[log.generation_id])
        batch = await reading
        assert isinstance(batch, Batch)
        assert batch.is_terminal


def test_recorded_failure_is_raised_when_there_is_one() -> None:
    raise_failure(b"")
    failure = EngineStalledError("stuck", metadata={"a": "b"}).to_failure()
    with pytest.raises(EngineStalledError, match="stuck") as caught:
        raise_failure(failure.SerializeToString())
    assert caught.value.metadata == {"a": "b"}
