"""Keeps the usage records of a queue for as long as they are wanted."""

from __future__ import annotations

import asyncio

import structlog

from facet.core.errors import StoreUnavailableError
from facet.queue.port import Operator

TRIM_SECONDS = 600.0

_log = structlog.get_logger(__name__)


class UsageTrimmer:
    """Drops what is too old, every 10 minutes; workers never do."""

    def __init__(self, queue: Operator, life_seconds: int) -> None:
        self._queue = queue
        self._life_seconds = life_seconds

    async def run(self) -> None:
        """Trim until cancelled. An unavailable store is waited for."""
        while True:
            try:
                while count := await self._queue.trim_usage(self._life_seconds * 1000):
                    _log.info("usage.trimmed", count=count)
            except StoreUnavailableError as error:
                _log.warning("usage.not_trimmed", cause=repr(error.__cause__))
            await asyncio.sleep(TRIM_SECONDS)
