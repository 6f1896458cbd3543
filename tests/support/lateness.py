"""How late a busy machine wakes this process up: what a bound on a time has to allow for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_TICK_SECONDS = 0.01


class Lateness:
    """How late this loop was: on shared cores gateway, client and test wait for their turn.

    A tick that comes late shows how long everything in this process stood still, and that is no
    part of what the gateway promises.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    async def measure(self) -> None:
        """Count until cancelled."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(_TICK_SECONDS)
            self.seconds += max(time.monotonic() - began - 2 * _TICK_SECONDS, 0)


@asynccontextmanager
async def measured_lateness() -> AsyncIterator[Lateness]:
    """Counts while the context is open."""
    lateness = Lateness()
    task = asyncio.create_task(lateness.measure())
    try:
        yield lateness
    finally:
        task.cancel()
