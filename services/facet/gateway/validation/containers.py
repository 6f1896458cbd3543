"""What the headers of audio and video files tell, without decoding them.

Layouts: RIFF WAVE, FLAC (RFC 9639), Ogg (RFC 3533), ISO base media (ISO/IEC 14496-12).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

# A crafted file of empty boxes must not hold up everybody else's calls.
MAX_BOXES = 20_000
_OGG_PAGE_HEADER_BYTES = 27
_FLAC_STREAMINFO_END = 42


def container_fault(data: bytes, mime_type: str) -> str:
    """What is wrong with audio or video of a canonical type; empty if the headers show nothing."""
    try:
        if mime_type == "audio/wav":
            return _wav_fault(data)
        if mime_type == "video/mp4":
            return _mp4_fault(data)
    except struct.error:
        return "the header is cut off"
    shortest = {"audio/flac": _FLAC_STREAMINFO_END, "audio/ogg": _OGG_PAGE_HEADER_BYTES}
    return "the header is cut off" if len(data) <= shortest.get(mime_type, 0) else ""


def _wav_fault(data: bytes) -> str:
    # Sizes of the whole are not checked: writers to pipes leave them at zero or at the maximum.
    has_format = False
    for kind, start in _riff_chunks(data):
        if kind == b"fmt ":
            channels, rate = struct.unpack_from("<HI", data, start + 2)
            if not channels or not rate:
                return "the format has no channels or no sample rate"
            has_format = True
        elif kind == b"data":
            if not has_format:
                return "the samples come without a format"
            return "" if len(data) > start else "there are no samples"
    return "there are no samples"


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    position = 12
    for _ in range(MAX_BOXES):
        if position + 8 > len(data):
            return
        kind, size = struct.unpack_from("<4sI", data, position)
        yield kind, position + 8
        position += 8 + size + size % 2


def _mp4_fault(data: bytes) -> str:
    kinds = set()
    position = 0
    for _ in range(MAX_BOXES):
        if position + 8 > len(data):
            break
        size, kind = struct.unpack_from(">I4s", data, position)
        if size == 1:
            size = struct.unpack_from(">Q", data, position + 8)[0]
        elif size == 0:
            size = len(data) - position
        if size < 8 or position + size > len(data):  # noqa: PLR2004 - a box's own header
            return "the file is cut off or damaged"
        kinds.add(kind)
        position += size
    return "" if b"moov" in kinds else "the file has no index (moov box)"
