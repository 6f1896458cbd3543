"""Fetches the media of a request from the media store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from facet.api.queue.v1 import envelope_pb2
from facet.core.errors import MediaNotFoundError, StoreUnavailableError
from facet.core.media_store import MediaStore
from facet.worker.engine.port import Medium

_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2


async def fetch_media(store: MediaStore, items: Iterable[envelope_pb2.MediaItem]) -> list[Medium]:
    """The media in order.

    Errors: MediaNotFoundError; StoreUnavailableError when the store stays away for about 3 s
    beyond its own timeouts.
    """
    return list(await asyncio.gather(*(_fetch(store, item) for item in items)))


async def _fetch(store: MediaStore, item: envelope_pb2.MediaItem) -> Medium:
    pause = _FIRST_PAUSE_SECONDS
    for attempt in range(_ATTEMPTS):
        try:
            data = await store.get(item.key)
            break
        except StoreUnavailableError:
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(pause)
            pause *= 2
    if data is None:
        raise MediaNotFoundError("a medium of the request is not stored any more")
    return Medium(item.mime_type, item.sha256, data)
