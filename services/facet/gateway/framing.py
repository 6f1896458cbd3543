"""Cutting serialized responses between their events, without decoding these.

A `StreamGenerateContentResponse` has one field, the repeated `events`: each event is a tag byte,
its length as a varint and its bytes, and concatenating responses concatenates their events.
"""

from __future__ import annotations

_EVENTS_TAG = 0x0A
_CONTINUES = 0x80


def event_frames(response: bytes) -> list[bytes]:
    """The events of a response, each with its tag and length.

    Errors: ValueError when the bytes are not that.
    """
    frames = []
    start = 0
    while start < len(response):
        end = _end_of_frame(response, start)
        frames.append(response[start:end])
        start = end
    return frames


def frames_from(response: bytes, skipped: int) -> bytes:
    """The response without its first events. Errors: ValueError, see `event_frames`."""
    return b"".join(event_frames(response)[skipped:])


def _end_of_frame(response: bytes, start: int) -> int:
    position, length, shift = start + 1, 0, 0
    while response[start] == _EVENTS_TAG and position < len(response):
        byte = response[position]
        position += 1
        length |= (byte & ~_CONTINUES) << shift
        shift += 7
        if byte < _CONTINUES:
            if position + length > len(response):
                break
            return position + length
    raise ValueError("not a stream of events")
