"""Listings over several shards: one order, the newest first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from facet.queue.answers import invalid_page

_TOKEN = re.compile(r"(?P<place>[0-9]{1,20})(_(?P<shard>[0-9]{1,6}))?")


class Placed(Protocol):
    """What a listing holds."""

    @property
    def place(self) -> int:
        """Its position: later is larger, and another one than any other's of its shard."""


_Placed = TypeVar("_Placed", bound=Placed)


def page_of(page: str, shard: int) -> str:
    """The page of one shard that belongs to a page of all. Errors: InvalidRequestError.

    A page ends with a place, or with the place in one shard: at the same place, shards after that
    one were not listed yet.
    """
    if not page:
        return ""
    match = _TOKEN.fullmatch(page)
    if match is None:
        raise invalid_page()
    place, last = int(match["place"]), match["shard"]
    return str(place if last is None or shard <= int(last) else place + 1)


def merged(
    pages: Mapping[int, tuple[Sequence[_Placed], str]], limit: int, *, parts_ties: bool = True
) -> tuple[tuple[_Placed, ...], str]:
    """The first items of all shards' pages, each with its own next page, and the next of all.

    Without `parts_ties` every page ends with a place alone, and holds more than `limit` items where
    several shards have one at the last of these.
    """
    # Below the end of a page that has a next one, its shard may have more.
    floor = max(
        (int(page_of(following, 0)) for _, following in pages.values() if following), default=0
    )
    found = sorted(
        ((item.place, shard, item) for shard, (items, _) in pages.items() for item in items),
        key=lambda each: (-each[0], each[1]),
    )
    whole = [each for each in found if each[0] >= floor]
    taken = whole[:limit]
    items = tuple(item for _, _, item in taken)
    if len(taken) == len(whole):
        has_more = floor > 0 or len(whole) < len(found)
        return items, str(floor) if has_more else ""
    place, shard, _ = taken[-1]
    is_split = whole[limit][0] == place
    if is_split and not parts_ties:
        items = tuple(item for at, _, item in whole if at >= place)
        return items, str(place)
    return items, f"{place}_{shard}" if is_split else str(place)


def each_page(page: str, shards: Iterable[int]) -> dict[int, str]:
    """`page_of` for all shards. Errors: InvalidRequestError."""
    return {shard: page_of(page, shard) for shard in shards}
