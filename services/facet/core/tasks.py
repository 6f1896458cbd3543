"""Tasks: kept running in the background, run together, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import structlog

_Answer = TypeVar("_Answer")
RESTART_SECONDS = 1.0

_log = structlog.get_logger(__name__)


async def keep_running(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop for ever: an unexpected exception is logged and the loop started again."""
    while True:
        try:
            await loop()
        except Exception as error:  # noqa: BLE001 - a supervisor: one fault must not end the rest
            _log.error("background loop failed", loop=name, exc_info=error)
        await asyncio.sleep(RESTART_SECONDS)


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and return when all have ended; what they failed with is dropped."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


async def run_all(coroutines: Iterable[Coroutine[Any, Any, _Answer]]) -> list[_Answer]:
    """Run them at once; their answers in order. The first error ends the others and is raised."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await cancel_all(tasks)
