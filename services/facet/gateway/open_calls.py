"""Calls that follow a generation: how many there may be, and what a shutdown waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from facet.core.errors import GatewayDrainingError, QueueFullError
from facet.core.telemetry.gateway_metrics import OPEN_CALLS
from facet.queue.limits import FULL_RETRY_SECONDS


class OpenCalls:
    """Counts open calls; admits at most `max_calls` at once, and none once closed."""

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls
        self._count = 0
        self._is_closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Count a call while the context is open.

        Errors: GatewayDrainingError once closed; QueueFullError while too many are open.
        """
        if self._is_closed:
            raise GatewayDrainingError(
                "this gateway shuts down; the call did not run, send it again"
            )
        if self._count >= self._max_calls:
            raise QueueFullError(
                f"{self._max_calls} calls are open on this gateway; the call did not run",
                retry_after_seconds=FULL_RETRY_SECONDS,
            )
        self._count += 1
        OPEN_CALLS.inc()
        self._idle.clear()
        try:
            yield
        finally:
            self._count -= 1
            OPEN_CALLS.dec()
            if not self._count:
                self._idle.set()

    def close(self) -> None:
        """Admit no more calls."""
        self._is_closed = True

    async def idle(self) -> None:
        """Return when no call is open."""
        await self._idle.wait()
