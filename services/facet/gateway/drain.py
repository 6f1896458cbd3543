"""Shutting down without breaking what is under way."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import grpc
import structlog

from facet.gateway.catalogue import Catalogue
from facet.gateway.health_service import HealthService
from facet.gateway.open_calls import OpenCalls

# Ended streams need this long to send their statuses; then connections are cut.
LAST_WORDS_SECONDS = 2.0

_log = structlog.get_logger(__name__)


async def drain(
    server: grpc.aio.Server,
    health: HealthService,
    open_calls: OpenCalls,
    catalogue: Catalogue,
    *,
    drain_seconds: float,
) -> None:
    """Turn NOT_SERVING, take no new calls, serve the open ones for `drain_seconds`, stop.

    Calls still open then end UNAVAILABLE / GATEWAY_DRAINING with the generation's id and the next
    offset; their generations run on, so another gateway can be attached to.
    """
    started = time.monotonic()
    _log.info("draining", drain_seconds=drain_seconds)
    health.drain()
    open_calls.close()
    # Stopping the server tells clients to connect elsewhere (GOAWAY) while open calls go on.
    stopping = asyncio.create_task(server.stop(drain_seconds + LAST_WORDS_SECONDS))
    try:
        async with asyncio.timeout(drain_seconds):
            await open_calls.idle()
    except TimeoutError:
        for route in catalogue.routes:
            route.reader.drain()
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await open_calls.idle()
        except TimeoutError:
            _log.warning("calls were cut off", seconds=LAST_WORDS_SECONDS)
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS_SECONDS):
            await health.told()
    # What is left, watchers of the health, would otherwise hold the server for the whole bound.
    await server.stop(None)
    await stopping
    _log.info("drained", seconds=round(time.monotonic() - started, 3))
