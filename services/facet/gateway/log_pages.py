"""Reading a log whole, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator

from facet.queue.port import Reader
from facet.queue.values import LogEntry

ENTRIES_PER_PAGE = 64


async def log_entries(reader: Reader, generation_id: str, end: int) -> AsyncIterator[LogEntry]:
    """The entries of a log from its beginning to the offset `end`.

    They end sooner where it was deleted, or begun anew, meanwhile. Errors: StoreUnavailableError.
    """
    offset = 0
    while offset < end:
        read = await reader.read({generation_id: offset}, limit=ENTRIES_PER_PAGE)
        entries = read.get(generation_id, [])
        if not entries:
            return
        for entry in entries:
            yield entry
        offset = entries[-1].first_offset + entries[-1].event_count
