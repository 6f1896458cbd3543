"""Listings over the queues of several models."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet.core.errors import InvalidRequestError
from facet.gateway.listing import newest
from facet.queue.memory_queue import MemoryQueue
from facet.queue.views import Page
from tests.support.queue_contract.world import TENANT, submission

pytestmark = pytest.mark.unit


class DatedQueue(MemoryQueue):
    """Whose requests arrived when the test says; some are forgotten, as their records vanished."""

    def __init__(self, number: int, places: set[int], gone: set[int]) -> None:
        super().__init__()
        self._number = number
        self._places = sorted(places, reverse=True)
        self._gone = gone

    async def fill(self) -> None:
        for place in self._places:
            await self.submit(submission(f"g-{self._number}-{place}"))

    async def list_generations(self, tenant: str, *, page: str, limit: int) -> Page:
        before = int(page) if page else 1 << 60
        seen = [place for place in self._places if place < before][:limit]
        statuses = [
            replace(await self.status(f"g-{self._number}-{place}", tenant), place=place)
            for place in seen
            if place not in self._gone
        ]
        return Page(tuple(statuses), str(seen[-1]) if len(seen) == limit else "")


PLACES = st.sets(st.integers(1, 40), max_size=12)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    drawn=st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=3),
    size=st.sampled_from([1, 2, 3, 7, 50]),
)
def test_each_comes_once_and_newest_first_when_paging_over_queues(
    drawn: list[tuple[set[int], set[int]]], size: int
) -> None:
    queues = [DatedQueue(number, places, gone) for number, (places, gone) in enumerate(drawn)]
    expected = sorted(
        (-place, number) for number, (places, gone) in enumerate(drawn) for place in places - gone
    )
    found = asyncio.run(listed(queues, size))
    assert found == [f"g-{number}-{-before}" for before, number in expected]


async def listed(queues: list[DatedQueue], size: int) -> list[str]:
    """Ids on all pages, each of which is full but the last."""
    for queue in queues:
        await queue.fill()
    found: list[str] = []
    token = ""
    while True:
        page = await newest(queues, TENANT, token=token, size=size)
        found += [status.generation_id for status in page.generations]
        token = page.next_page
        if not token:
            assert len(page.generations) <= size
            return found
        assert len(page.generations) == size


async def test_more_than_a_queue_tells_at_once_is_listed_when_asked_for() -> None:
    queues = [MemoryQueue(), MemoryQueue()]
    for number in range(260):
        await queues[number % 2].submit(submission(f"g-0-{number:03}"))
    page = await newest(queues, TENANT, token="", size=250)
    rest = await newest(queues, TENANT, token=page.next_page, size=250)
    listed = [status.generation_id for status in (*page.generations, *rest.generations)]
    assert sorted(listed) == [f"g-0-{number:03}" for number in range(260)]
    assert rest.next_page == ""


@pytest.mark.parametrize("token", ["x", "0.", ".1", "2.5", "-1.5", "0.1.2", "0." + "9" * 21])
async def test_page_is_refused_when_no_answer_named_it(token: str) -> None:
    with pytest.raises(InvalidRequestError):
        await newest([MemoryQueue(), MemoryQueue()], TENANT, token=token, size=10)
