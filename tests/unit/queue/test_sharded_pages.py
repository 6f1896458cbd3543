"""One listing over several shards."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from facet.core.errors import InvalidRequestError
from facet.queue.sharded_pages import each_page, merged, page_of

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Item:
    place: int
    shard: int


def pages_of(
    places: dict[int, list[int]], page: str, limit: int
) -> dict[int, tuple[list[Item], str]]:
    """What queues of single shards answer: their items below the page's place, newest first."""
    answers = {}
    for shard, bound in each_page(page, places).items():
        below = sorted((p for p in places[shard] if not bound or p < int(bound)), reverse=True)
        found = [Item(place, shard) for place in below[:limit]]
        answers[shard] = (found, str(found[-1].place) if len(found) == limit else "")
    return answers


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    "places",
    [
        {0: []},
        {0: [5, 3, 1]},
        {0: [9, 8, 7, 6], 1: [5], 2: []},
        {0: [9, 6, 3], 1: [8, 5, 2], 2: [7, 4, 1]},
        {0: [5, 4, 3], 1: [5, 4, 2], 2: [5, 3, 2, 1]},
        {0: [7], 2: [7], 5: [7]},
    ],
)
def test_each_item_is_listed_once_and_in_order_when_paged(
    places: dict[int, list[int]], limit: int
) -> None:
    seen: list[tuple[int, int]] = []
    page = ""
    for _ in range(50):
        items, page = merged(pages_of(places, page, limit), limit)
        assert len(items) <= limit
        seen += [(item.place, item.shard) for item in items]
        if not page:
            break
    wanted = [(place, shard) for shard in places for place in places[shard]]
    assert seen == sorted(wanted, key=lambda each: (-each[0], each[1]))


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_ties_stay_together_when_a_page_is_a_place_alone(limit: int) -> None:
    places = {0: [5, 4, 3], 1: [5, 4, 2], 2: [5, 3, 2, 1]}
    seen: list[int] = []
    page = ""
    for _ in range(50):
        items, page = merged(pages_of(places, page, limit), limit, parts_ties=False)
        assert len(items) <= limit or items[limit - 1].place == items[-1].place
        assert page == "" or page.isdecimal()
        seen += [item.place for item in items]
        if not page:
            break
    assert seen == sorted((place for each in places.values() for place in each), reverse=True)


def test_page_is_that_of_the_shard_when_there_is_one() -> None:
    items, page = merged(pages_of({0: [5, 3, 1]}, "", 2), 2)
    assert ([item.place for item in items], page) == ([5, 3], "3")


def test_listing_goes_on_when_what_a_page_named_has_vanished() -> None:
    assert merged({0: ([], "7"), 1: ([Item(9, 1)], "")}, 2) == ((Item(9, 1),), "7")
    assert merged({0: ([], "7"), 1: ([Item(5, 1)], "")}, 2) == ((), "7")


@pytest.mark.parametrize("page", ["x", "-1", "1.5", "1_", "_1", "1_x", "(1", "+inf", "1_2_3"])
def test_page_is_refused_when_it_has_another_form(page: str) -> None:
    with pytest.raises(InvalidRequestError):
        page_of(page, 0)
