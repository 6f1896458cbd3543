"""Cutting serialized responses between their events, without decoding these.

A `StreamGenerateContentResponse` has one field, the repeated `events`: each event is a tag byte,
its length as a varint and its bytes, and concatenating responses concatenates their events.
"""

from __future__ import annotations

_EVENTS_TAG = 0x0A


def event_frames(response: bytes) -> list[bytes]:
    """The events of a response, each with its tag and length. Errors: ValueError."""
    frames = []
    start = 0
    while start < len(response):
        if response[start] != _EVENTS_TAG:
            raise ValueError("not a stream of events")
        position, length, shift = start + 1, 0, 0
        while True:
            byte = response[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # noqa: PLR2004  (the continuation bit of a varint)
                break
        frames.append(response[start : position + length])
        start = position + length
    return frames


def frames_from(response: bytes, skipped: int) -> bytes:
    """The response without its first events."""
    return b"".join(event_frames(response)[skipped:])
