"""The latest events of a log, to be compared with a store that may have fallen back."""

from __future__ import annotations

from facet.gateway.framing import event_frames

KEPT_BYTES = 4 * 1024
"""Half of it always stays, if there was as much: some 35 events. A generation that went on
otherwise further back does not meet what is kept by chance."""


class Kept:
    """Consecutive serialized events, the first at `first_offset`; old ones are dropped in lumps.

    They lie in one piece of memory: as objects of their own they would take several times theirs.
    """

    def __init__(self, first_offset: int) -> None:
        self.first_offset = first_offset
        self._events = bytearray()

    def add(self, response: bytes) -> None:
        """Keep the events that follow. Errors: ValueError when some are not well-formed."""
        self._events += response
        if len(self._events) > KEPT_BYTES:
            self._drop()

    def frames(self) -> dict[int, bytes]:
        """All that is kept by offset. Errors: ValueError, see `event_frames`."""
        return dict(enumerate(event_frames(bytes(self._events)), self.first_offset))

    def _drop(self) -> None:
        frames = event_frames(bytes(self._events))
        kept, size = len(frames) - 1, len(frames[-1])
        while kept > 0 and size + len(frames[kept - 1]) <= KEPT_BYTES // 2:
            kept -= 1
            size += len(frames[kept])
        self.first_offset += kept
        self._events = bytearray(b"".join(frames[kept:]))
