"""Fetches the media of a request from the media store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from facet.api.queue.v1 import envelope_pb2
from facet.core.errors import MediaNotFoundError, StoreUnavailableError
from facet.core.media_store import MediaStore
from facet.core.tasks import run_all
from facet.worker.engine.port import Medium

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0

_log = structlog.get_logger(__name__)


async def fetch_media(store: MediaStore, items: Iterable[envelope_pb2.MediaItem]) -> list[Medium]:
    """The media in order.

    While the store is away it tries again, without an end of its own: the caller is ended by the
    request's deadline, by a cancel or with its lease. Errors: MediaNotFoundError.
    """
    return await run_all(_fetch(store, item) for item in items)


async def _fetch(store: MediaStore, item: envelope_pb2.MediaItem) -> Medium:
    data = await _get(store, item.key)
    if data is None:
        raise MediaNotFoundError("a medium of the request is not stored any more")
    return Medium(item.mime_type, item.sha256, data)


async def _get(store: MediaStore, key: str) -> bytes | None:
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await store.get(key)
        except StoreUnavailableError as error:
            _log.warning("media.store_away", error=error.message, pause_seconds=pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
