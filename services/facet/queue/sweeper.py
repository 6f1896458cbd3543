"""Keeps a queue swept: deadlines, lost workers and gone readers need nobody to ask."""

from __future__ import annotations

import asyncio

import structlog

from facet.core.errors import StoreUnavailableError
from facet.core.telemetry.store_metrics import SWEPT
from facet.queue.port import Observer

_PERIOD_SECONDS = 0.5
_ENDS = ("expired", "reaped", "abandoned", "dead_lettered")


class Sweeper:
    """Sweeps every 500 ms; gateways and workers all run one, the store lets few through."""

    def __init__(self, queue: Observer) -> None:
        self._queue = queue
        self._log = structlog.get_logger()
        self._is_store_away = False

    async def run(self) -> None:
        """Sweep until cancelled. An unavailable store is waited for."""
        while True:
            if not await self._sweep():
                await asyncio.sleep(_PERIOD_SECONDS)

    async def _sweep(self) -> bool:
        """Whether more is to be swept at once."""
        try:
            result = await self._queue.sweep()
        except StoreUnavailableError as error:
            if not self._is_store_away:
                self._log.warning("sweep.store_away", cause=repr(error.__cause__))
            self._is_store_away = True
            return False
        self._is_store_away = False
        for what in _ENDS:
            SWEPT.labels(what).inc(getattr(result, what))
        if result.expired or result.reaped or result.abandoned or result.dead_lettered:
            self._log.info(
                "sweep.done",
                expired=result.expired,
                reaped=result.reaped,
                abandoned=result.abandoned,
                dead_lettered=result.dead_lettered,
            )
        return result.has_more
