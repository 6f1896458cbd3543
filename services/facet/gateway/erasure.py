"""Deleting what is kept of an ended generation: record, log and media."""

from __future__ import annotations

import asyncio

import structlog

from facet.core.errors import FacetError
from facet.core.media_store import MediaHolder, MediaStore
from facet.gateway.catalogue import Route
from facet.queue.port import Producer

_log = structlog.get_logger(__name__)


class Eraser:
    """Deletes generations, with the media that no other generation of their tenant holds."""

    def __init__(self, media: MediaStore) -> None:
        self._media = media
        self._tasks: set[asyncio.Task[None]] = set()

    async def erase(self, queue: Producer, generation_id: str, tenant: str) -> bool:
        """Delete an ended generation; False when it has not ended. Errors: `Producer.delete`.

        Where this is cut off before the media are gone, they lapse by themselves.
        """
        keys = await queue.media_keys(generation_id, tenant)
        if not await queue.delete(generation_id, tenant):
            return False
        await self._media.release(keys, MediaHolder(generation_id, tenant))
        return True

    def erase_soon(self, route: Route, generation_id: str, tenant: str) -> None:
        """Delete a fleeting generation whose end was delivered to one more reader; returns at once.

        It goes with the last of its readers that are present, here and at other gateways. Nothing
        is repeated: the store forgets it after `limits.MIN_RETENTION_MS`.
        """
        task = asyncio.create_task(self._erase_delivered(route, generation_id, tenant))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _erase_delivered(self, route: Route, generation_id: str, tenant: str) -> None:
        if route.reader.has_readers(generation_id):
            # The last of them comes here too.
            return
        queue, follower = route.queue, route.reader.follower
        try:
            keys = await queue.media_keys(generation_id, tenant)
            if await queue.delivered(generation_id, tenant, follower):
                await self._media.release(keys, MediaHolder(generation_id, tenant))
        except FacetError as error:
            _log.warning("not erased yet", generation_id=generation_id, cause=repr(error))
