"""Background loops that must outlive their own faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

RESTART_SECONDS = 1.0

_log = structlog.get_logger(__name__)


async def keep_running(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop for ever: an unexpected exception is logged and the loop started again."""
    while True:
        try:
            await loop()
        except Exception as error:  # noqa: BLE001 - a supervisor: one fault must not end all streams
            _log.error("background loop failed", loop=name, exc_info=error)
        await asyncio.sleep(RESTART_SECONDS)
