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
from facet.queue.values import Claimed, Needs, Offers
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
    needs: Needs


ARRIVALS = st.builds(
    Arrival,
    gap_ms=st.sampled_from([0, 0, 30, 200, 600]),
    affinity=st.sampled_from([(), (), ("s:1",), ("s:2",)]),
    needs=st.sampled_from([Needs(), Needs(media="i"), Needs(context_tokens=8_192)]),
)


@dataclass(frozen=True)
class Fellow:
    """A worker beside the one that is able and lives: it takes hints that it cannot use, or dies
    after so many waits, between a hint and the claim that it was for."""

    offers: Offers
    dies_after: int | None


FELLOWS = st.builds(
    Fellow,
    offers=st.sampled_from([Offers(), Offers(media="i"), Offers(context_tokens=4_096)]),
    dies_after=st.sampled_from([None, 1, 2]),
)
ABLE = Fellow(Offers(), None)


async def work(queue: Queue, worker: str, served: list[Claimed], fellow: Fellow) -> None:
    """Claim and finish for ever, or until it dies."""
    waits = 0
    while True:
        result = await queue.claim(replace(claim(worker), offers=fellow.offers))
        served += result.claimed
        for each in result.claimed:
            await queue.write([finish(each)])
        if not result.claimed:
            await queue.wait_for_work(worker, result.next_check_ms)
            waits += 1
            if waits == fellow.dies_after:
                return


async def serve(queue: Queue, arrivals: list[Arrival], fellows: list[Fellow]) -> None:
    """Submit all to a queue with these workers, and a last one that is able and lives."""
    served: list[Claimed] = []
    workers = [
        asyncio.create_task(work(queue, f"worker-{number}", served, fellow))
        for number, fellow in enumerate([*fellows, ABLE])
    ]
    try:
        for number, arrival in enumerate(arrivals):
            await asyncio.sleep(arrival.gap_ms / 1000)
            plain = submission(f"g-0-{number}")
            request = replace(plain, affinity=arrival.affinity, needs=arrival.needs)
            await queue.submit(request)
        await until(lambda: asyncio.sleep(0, len(served) == len(arrivals)))
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    assert max(each.waited_ms for each in served) <= MAX_IDLE_MS


def test_no_request_waits_beside_an_idle_worker_when_others_die_with_hints_or_cannot_use_them(
    redis_server: RedisServer,
) -> None:
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        arrivals=st.lists(ARRIVALS, min_size=2, max_size=5),
        fellows=st.lists(FELLOWS, min_size=1, max_size=3),
    )
    def each(arrivals: list[Arrival], fellows: list[Fellow]) -> None:
        async def example() -> None:
            queue = RedisQueue.connect(redis_server.url, release=secrets.token_hex(8), model="nano")
            try:
                await serve(queue, arrivals, fellows)
            finally:
                await queue.close()

        asyncio.run(example())

    each()
