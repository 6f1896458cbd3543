"""No request waits beside an idle worker that may have it, also when a hint was lost."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facet.queue.limits import MAX_WAIT_MS
from facet.queue.port import Queue
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import Claimed
from tests.support.conditions import until
from tests.support.queue_contract.world import claim, finish, submission
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

MAX_IDLE_MS = MAX_WAIT_MS + 500


@dataclass(frozen=True)
class Arrival:
    """A request, so long after the one before it; it may be for a worker that is warm."""

    gap_ms: int
    affinity: tuple[str, ...]


ARRIVALS = st.builds(
    Arrival,
    gap_ms=st.sampled_from([0, 0, 30, 200, 600]),
    affinity=st.sampled_from([(), (), ("s:1",), ("s:2",)]),
)


async def work(queue: Queue, worker: str, served: list[Claimed], *, dies_after: int | None) -> None:
    """Claim and finish for ever; or die between a hint and the claim that it was for."""
    waits = 0
    while True:
        result = await queue.claim(claim(worker))
        served += result.claimed
        for each in result.claimed:
            await queue.write([finish(each)])
        if not result.claimed:
            await queue.wait_for_work(worker, result.next_check_ms)
            waits += 1
            if waits == dies_after:
                return


async def serve(queue: Queue, arrivals: list[Arrival], dies_after: list[int | None]) -> None:
    """Submit all to a queue with these workers, and a last one that lives."""
    served: list[Claimed] = []
    workers = [
        asyncio.create_task(work(queue, f"worker-{number}", served, dies_after=count))
        for number, count in enumerate([*dies_after, None])
    ]
    try:
        for number, arrival in enumerate(arrivals):
            await asyncio.sleep(arrival.gap_ms / 1000)
            request = replace(submission(f"g-0-{number}"), affinity=arrival.affinity)
            await queue.submit(request)
        await until(lambda: asyncio.sleep(0, len(served) == len(arrivals)))
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    assert max(each.waited_ms for each in served) <= MAX_IDLE_MS


def test_no_request_waits_beside_an_idle_worker_when_others_die_with_hints(
    redis_server: RedisServer,
) -> None:
    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        arrivals=st.lists(ARRIVALS, min_size=2, max_size=5),
        dies_after=st.lists(st.sampled_from([None, 1, 2]), min_size=1, max_size=3),
    )
    def each(arrivals: list[Arrival], dies_after: list[int | None]) -> None:
        async def example() -> None:
            queue = RedisQueue.connect(redis_server.url, release=secrets.token_hex(8), model="nano")
            try:
                await serve(queue, arrivals, dies_after)
            finally:
                await queue.close()

        asyncio.run(example())

    each()
