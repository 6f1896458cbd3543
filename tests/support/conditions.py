"""Waiting for a condition, with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_POLL_SECONDS = 0.01


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 5.0) -> None:
    """Return when the condition holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - nothing tells of other processes' state
            await asyncio.sleep(_POLL_SECONDS)
