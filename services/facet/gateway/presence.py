"""Readers' presence: tells the store which generations are still followed."""

from __future__ import annotations

import asyncio

import structlog

from facet.core.errors import StoreUnavailableError
from facet.gateway.log_reader import LogReader
from facet.queue.port import Producer

RETRY_SECONDS = 0.5
TOUCHES_PER_GRACE = 3
# After an outage the store takes nobody for gone until all had one lease time to renew.
MAX_INTERVAL_SECONDS = 3.0

_log = structlog.get_logger(__name__)


class ReaderPresence:
    """Renews presence often enough that two renewals may fail before a grace ends.

    An outage is survived too: the first renewal after it comes within the queue's lease time.
    """

    def __init__(self, queue: Producer, reader: LogReader, *, grace_seconds: float) -> None:
        self._queue = queue
        self._reader = reader
        self._interval_seconds = min(grace_seconds / TOUCHES_PER_GRACE, MAX_INTERVAL_SECONDS)

    async def run(self) -> None:
        """Renew for ever."""
        while True:
            pause_seconds = await self._touch()
            await asyncio.sleep(pause_seconds)

    async def _touch(self) -> float:
        followed = self._reader.live_ids()
        if not followed:
            return self._interval_seconds
        try:
            await self._queue.touch_readers(followed)
        except StoreUnavailableError as error:
            _log.warning("readers' presence was not renewed", cause=repr(error.__cause__))
            return min(RETRY_SECONDS, self._interval_seconds)
        return self._interval_seconds
