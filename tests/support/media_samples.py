"""Small whole files of each accepted media type, written byte by byte."""

from __future__ import annotations

import struct
import zlib


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int = 2, height: int = 1) -> bytes:
    """A black image; only the header is right when it is too large to fill."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\0" * 3 * min(width, 64)) * min(height, 64))
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", rows)
        + _chunk(b"IEND", b"")
    )


def jpeg(width: int = 2, height: int = 1) -> bytes:
    """Headers of a JPEG with an empty scan."""
    app = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0\1\1\0\0\1\0\1\0\0"
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    scan = b"\xff\xda" + struct.pack(">HB", 8, 1) + b"\1\0\0\x3f\0" + b"\0\0"
    return b"\xff\xd8" + app + frame + scan + b"\xff\xd9"


def gif(width: int = 2, height: int = 1) -> bytes:
    """An empty GIF."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b";"


def _riff(kind: bytes, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + kind + body


def webp(width: int = 2, height: int = 1) -> bytes:
    """A VP8X header."""
    body = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return _riff(b"WEBP", b"VP8X" + struct.pack("<I", len(body)) + body)


def wav(channels: int = 1, rate_hz: int = 16000, samples: int = 8) -> bytes:
    """Silence."""
    fmt = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * 2 * channels, 2 * channels, 16)
    data = bytes(2 * channels * samples)
    return _riff(
        b"WAVE",
        b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data,
    )


def _box(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def mp4(*, has_index: bool = True) -> bytes:
    """The outermost boxes of an MP4."""
    index = _box(b"moov", bytes(16)) if has_index else b""
    return _box(b"ftyp", b"isom\0\0\2\0isom") + index + _box(b"mdat", bytes(32))


PNG, JPEG, GIF, WEBP, WAV, MP4 = png(), jpeg(), gif(), webp(), wav(), mp4()
FLAC = b"fLaC" + b"\x80\0\0\x22" + bytes(34) + bytes(8)
MP3 = b"\xff\xfb\x90\x64" + bytes(413)
OGG = b"OggS\0\2" + bytes(20) + b"\1\x1e\1vorbis" + bytes(24)
WEBM = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\xf7\x81\1\x42\x82\x84webm" + bytes(16)

SAMPLES = {
    "image/png": PNG,
    "image/jpeg": JPEG,
    "image/gif": GIF,
    "image/webp": WEBP,
    "audio/wav": WAV,
    "audio/flac": FLAC,
    "audio/mpeg": MP3,
    "audio/ogg": OGG,
    "video/mp4": MP4,
    "video/webm": WEBM,
}
