"""Clients that keep so many streams open until they are told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from tests.chaos.client import Client, Outcome
from tests.chaos.delivery import Delivery
from tests.chaos.load import Plan

_POLL_SECONDS = 0.2


class Crowd:
    """Keeps `size` requests open: one that ends is followed by the next plan, until `finish`.

    `outcomes` holds all of them in order of their beginning.
    """

    def __init__(self, client: Client, plans: Iterator[Plan], size: int) -> None:
        self.outcomes: list[Outcome] = []
        self._client = client
        self._plans = plans
        self._is_finishing = False
        self._seats = [asyncio.create_task(self._sit()) for _ in range(size)]

    @property
    def live(self) -> list[Delivery]:
        """Streams in the middle of their answer."""
        mains = (outcome.main for outcome in self.outcomes)
        return [main for main in mains if main.is_open and main.has_tokens]

    async def gather(self, live: int, bound_seconds: float) -> int:
        """Return when so many streams are live, or more: how many. Errors: TimeoutError."""
        async with asyncio.timeout(bound_seconds):
            while len(self.live) < live:  # noqa: ASYNC110 - it changes with every event
                await asyncio.sleep(_POLL_SECONDS)
            return len(self.live)

    async def finish(self, bound_seconds: float) -> None:
        """Begin no more and return when all have ended, or were broken off at the bound."""
        self._is_finishing = True
        _, late = await asyncio.wait(self._seats, timeout=bound_seconds)
        for seat in late:
            seat.cancel()
        for result in await asyncio.gather(*self._seats, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _sit(self) -> None:
        while not self._is_finishing:
            outcome = Outcome(next(self._plans))
            self.outcomes.append(outcome)
            await self._client.run(outcome)
