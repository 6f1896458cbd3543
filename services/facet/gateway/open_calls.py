"""Calls that follow a generation: what a shutdown waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from facet.core.errors import GatewayDrainingError


class OpenCalls:
    """Counts open calls, and admits none once closed."""

    def __init__(self) -> None:
        self._count = 0
        self._is_closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Count a call while the context is open. Errors: GatewayDrainingError once closed."""
        if self._is_closed:
            raise GatewayDrainingError(
                "this gateway shuts down; the call did not run, send it again"
            )
        self._count += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._idle.set()

    def close(self) -> None:
        """Admit no more calls."""
        self._is_closed = True

    async def idle(self) -> None:
        """Return when no call is open."""
        await self._idle.wait()
