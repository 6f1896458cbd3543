"""Listings over the queues of several models."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

from facet.core.errors import InvalidRequestError
from facet.queue.limits import MAX_BATCH
from facet.queue.port import Producer
from facet.queue.views import Page, Status

_TOKEN = re.compile(r"(?P<queue>[0-9]{1,4})\.(?P<place>[0-9]{1,20})")


@dataclass(frozen=True)
class _Position:
    """Behind which request a listing goes on: by its place, then by the number of its queue.

    Place 0 is the beginning of that queue and those behind it. The first release, which listed
    queue by queue, gives such tokens: what was listed may come again, nothing is left out.
    """

    place: int
    queue: int

    def page_of(self, queue: int) -> str:
        """The page of a queue that begins there."""
        return str(self.place + (queue > self.queue)) if self.place else ""

    def leaves_out(self, queue: int) -> bool:
        """Whether nothing of a queue follows."""
        return not self.place and queue < self.queue


async def newest(queues: Sequence[Producer], tenant: str, *, token: str, size: int) -> Page:
    """A page of a tenant's generations in all queues, newest first; `token` "" is the first.

    Errors: InvalidRequestError, StoreUnavailableError.
    """
    position: _Position | None = _position_of(token, len(queues))
    listed: list[Status] = []
    while position is not None and len(listed) < size:
        wanted = min(size - len(listed), MAX_BATCH)
        found, position = await _following(queues, tenant, position, wanted)
        listed += found
    return Page(tuple(listed), f"{position.queue}.{position.place}" if position else "")


async def _following(
    queues: Sequence[Producer], tenant: str, position: _Position, limit: int
) -> tuple[list[Status], _Position | None]:
    """At most so many from a position on, and where it goes on; None at the end."""
    asked = [number for number in range(len(queues)) if not position.leaves_out(number)]
    pages = await asyncio.gather(
        *(
            queues[number].list_generations(tenant, page=position.page_of(number), limit=limit)
            for number in asked
        )
    )
    # Behind the last that a queue looked at, others are not newer than all that it still has.
    floor = max((int(page.next_page) for page in pages if page.next_page), default=0)
    found = sorted(
        (
            (status, number)
            for number, page in zip(asked, pages, strict=True)
            for status in page.generations
            if status.place >= floor
        ),
        key=lambda each: (-each[0].place, each[1]),
    )
    taken = [status for status, _ in found[:limit]]
    if len(found) > limit:
        last, number = found[limit - 1]
        return taken, _Position(last.place, number)
    return taken, _Position(floor, len(queues) - 1) if floor else None


def _position_of(token: str, queues: int) -> _Position:
    if not token:
        return _Position(0, 0)
    match = _TOKEN.fullmatch(token)
    if match is None or int(match["queue"]) >= queues:
        raise InvalidRequestError.of("page_token", "is not one that an earlier answer gave")
    return _Position(int(match["place"]), int(match["queue"]))
