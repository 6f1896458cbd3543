"""What all sides of the in-memory twin share."""

from __future__ import annotations

import asyncio

from facet.queue.answers import not_found
from facet.queue.memory_ledger import Ledger
from facet.queue.memory_record import Record


class MemorySide:
    """The books, and who waits for a change of them; the sides are mixed into `MemoryQueue`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._changed = asyncio.Event()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _changes_before(self, ends: float) -> bool:
        """Whether something changed before the loop's time `ends`."""
        changed = self._changed
        try:
            async with asyncio.timeout_at(ends):
                await changed.wait()
        except TimeoutError:
            return False
        return True

    def _owned(self, generation_id: str, tenant: str) -> Record:
        record = self._ledger.find(generation_id)
        if record is None or record.tenant != tenant:
            raise not_found(generation_id)
        return record
