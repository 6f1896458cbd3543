"""Keeps the usage records of a queue for as long as they are wanted."""

from __future__ import annotations

import asyncio

import structlog

from facet.core.errors import StoreUnavailableError
from facet.queue.port import Operator
from facet.queue.views import UsageTrim

TRIM_SECONDS = 60.0
"""What ends within it may stand beyond the bound."""

_log = structlog.get_logger(__name__)
_NONE = UsageTrim(0, 0)


class UsageTrimmer:
    """Drops what is too old or too much, every minute; workers never do."""

    def __init__(self, queue: Operator, *, life_seconds: int, most: int) -> None:
        """`most`: so many records each shard keeps."""
        self._queue = queue
        self._life_seconds = life_seconds
        self._most = most

    async def run(self) -> None:
        """Trim until cancelled. An unavailable store is waited for."""
        while True:
            try:
                await self._trim()
            except StoreUnavailableError as error:
                _log.warning("usage.not_trimmed", cause=repr(error.__cause__))
            await asyncio.sleep(TRIM_SECONDS)

    async def _trim(self) -> None:
        life_ms = self._life_seconds * 1000
        while (trim := await self._queue.trim_usage(life_ms, self._most)) != _NONE:
            if trim.lapsed:
                _log.info("usage.trimmed", count=trim.lapsed)
            if trim.cut:
                _log.warning(
                    "usage.cut",
                    count=trim.cut,
                    max_usage_records=self._most,
                    advice="export more often, or raise FACET_GATEWAY_MAX_USAGE_RECORDS",
                )
