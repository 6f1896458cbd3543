"""Ending tasks whose cancellation may be swallowed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

_REPEAT_SECONDS = 0.2


async def cancel_until_done(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and return when all have ended; what they failed with is dropped.

    The cancel is repeated: one that meets the end of a call in the Redis client is lost there, and
    a loop would go on.
    """
    ending = set(tasks)
    pending = ending
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_REPEAT_SECONDS)
    await asyncio.gather(*ending, return_exceptions=True)
