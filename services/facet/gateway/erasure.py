"""Deleting what is kept of an ended generation: record, log and media."""

from __future__ import annotations

import asyncio

import structlog

from facet.core.errors import FacetError
from facet.core.media_store import MediaHolder, MediaStore
from facet.queue.port import Producer
from facet.queue.values import State

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

    def erase_soon(self, queue: Producer, generation_id: str, tenant: str) -> None:
        """Delete a generation that asks for it, now that its end was delivered; returns at once.

        What fails is not repeated: the store forgets it after `limits.MIN_RETENTION_MS`.
        """
        task = asyncio.create_task(self._erase_fleeting(queue, generation_id, tenant))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _erase_fleeting(self, queue: Producer, generation_id: str, tenant: str) -> None:
        try:
            status = await queue.status(generation_id, tenant)
            if status.is_fleeting and status.state is State.ENDED:
                await self.erase(queue, generation_id, tenant)
        except FacetError as error:
            _log.warning("not erased yet", generation_id=generation_id, cause=repr(error))
