"""What an image's headers tell, without decoding it: dimensions and whether the file is whole.

Layouts: PNG (W3C PNG section 5), JPEG (ITU-T T.81 annex B), GIF89a, WebP (RFC 9649).
"""

from __future__ import annotations

import struct

from facet.core.media_limits import MAX_IMAGE_PIXELS

MAX_SIDE_PIXELS = 16384
# A crafted file of empty chunks must not hold up everybody else's calls.
MAX_CHUNKS = 20_000
_NOT_WHOLE = "the file is cut off or damaged"

Size = tuple[int, int]


def image_fault(data: bytes, mime_type: str) -> str:
    """What is wrong with an image of a canonical type, as far as headers show; empty if nothing."""
    reader = {
        "image/png": _png_size,
        "image/jpeg": _jpeg_size,
        "image/gif": _gif_size,
        "image/webp": _webp_size,
    }[mime_type]
    try:
        size = reader(data)
    except (struct.error, IndexError):
        size = None
    if size is None:
        return _NOT_WHOLE
    width, height = size
    if not width or not height:
        return "the image has no pixels"
    if max(size) > MAX_SIDE_PIXELS or width * height > MAX_IMAGE_PIXELS:
        return (
            f"{width}x{height} is too large; at most {MAX_SIDE_PIXELS} a side "
            f"and {MAX_IMAGE_PIXELS} pixels"
        )
    return ""


def _png_size(data: bytes) -> Size | None:
    width, height = struct.unpack_from(">II", data, 16)
    if data[12:16] != b"IHDR":
        return None
    position = 8
    for _ in range(MAX_CHUNKS):
        if position + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, position)
        position += 12 + length
        if kind == b"IEND":
            return (width, height) if position <= len(data) else None
    return None


# Start-of-frame markers; C4, C8 and CC lie among them and mean something else.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA


def _jpeg_size(data: bytes) -> Size | None:
    size = None
    position = 2
    for _ in range(MAX_CHUNKS):
        if data[position] != 0xFF:  # noqa: PLR2004 - every marker begins so
            break
        marker = data[position + 1]
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte
            position += 1
            continue
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            size = (width, height)
        if marker == _JPEG_SCAN:
            return size if data.find(b"\xff\xd9", position) > 0 else None
        position += 2 + int(struct.unpack_from(">H", data, position + 2)[0])
    return None


def _gif_size(data: bytes) -> Size | None:
    width, height = struct.unpack_from("<HH", data, 6)
    return (width, height) if data.rstrip(b"\x00").endswith(b";") else None


def _webp_size(data: bytes) -> Size | None:
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and data[20] == 0x2F:  # noqa: PLR2004 - its signature
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    return None
