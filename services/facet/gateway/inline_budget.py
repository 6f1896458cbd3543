"""How many bytes of inline media a gateway holds at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from facet.core.errors import QueueFullError
from facet.queue.limits import FULL_RETRY_SECONDS


class InlineBudget:
    """Bytes of the requests that are being taken in, from parsing until their media are stored.

    A request that is alone is always let in, whatever its size.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0

    @contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        """Count the bytes while the context is open. Errors: QueueFullError beyond the bound."""
        held_bytes = self._held_bytes + size_bytes
        if size_bytes and self._held_bytes and held_bytes > self._max_bytes:
            raise QueueFullError(
                "this gateway takes in as much inline media as it may; the request never ran",
                retry_after_seconds=FULL_RETRY_SECONDS,
            )
        self._held_bytes = held_bytes
        try:
            yield
        finally:
            self._held_bytes -= size_bytes
