"""Listings over the queues of several models."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facet.core.errors import InvalidRequestError
from facet.queue.answers import invalid_page
from facet.queue.limits import MAX_BATCH
from facet.queue.port import Operator, Producer
from facet.queue.views import DeadLetter, Page, Status

DEFAULT_PAGE = 50
MAX_PAGE = 1000

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


def page_size(asked: int) -> int:
    """What a page holds when so many are asked for, 0 for none. Errors: InvalidRequestError."""
    if asked > MAX_PAGE:
        raise InvalidRequestError.of("page_size", f"is at most {MAX_PAGE}")
    return asked or DEFAULT_PAGE


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
        raise invalid_page()
    return _Position(int(match["place"]), int(match["queue"]))


async def dead_letters(
    queues: Mapping[str, Operator], *, token: str, size: int
) -> tuple[list[tuple[str, DeadLetter]], str]:
    """A page of all dead letters with their models, model by model, and the token of the next.

    `queues` are by model, in their order. Errors: InvalidRequestError, StoreUnavailableError.
    """
    models = list(queues)
    model, page = _place_of(token, models)
    letters: list[tuple[str, DeadLetter]] = []
    while len(letters) < size:
        limit = min(size - len(letters), MAX_BATCH)
        found = await queues[model].dead_letters(page=page, limit=limit)
        letters += [(model, letter) for letter in found.letters]
        page = found.next_page
        if not page:
            following = models[models.index(model) + 1 :]
            if not following:
                return letters, ""
            model = following[0]
    return letters, f"{model}:{page}"


def _place_of(token: str, models: Sequence[str]) -> tuple[str, str]:
    """Model and page of the queue where a listing goes on."""
    if not token:
        return models[0], ""
    model, colon, page = token.rpartition(":")
    if not colon or model not in models:
        raise invalid_page()
    return model, page
