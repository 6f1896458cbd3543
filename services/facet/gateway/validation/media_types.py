"""Media types that are accepted, and how their files begin."""

from __future__ import annotations

from typing import Literal

Modality = Literal["image", "audio", "video"]

_CANONICAL = {
    "image/png": "image/png",
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/webp": "image/webp",
    "image/gif": "image/gif",
    "audio/wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/flac": "audio/flac",
    "audio/x-flac": "audio/flac",
    "audio/mpeg": "audio/mpeg",
    "audio/mp3": "audio/mpeg",
    "audio/ogg": "audio/ogg",
    "video/mp4": "video/mp4",
    "video/webm": "video/webm",
}
SUPPORTED = tuple(dict.fromkeys(_CANONICAL.values()))

_EBML = b"\x1a\x45\xdf\xa3"
_EBML_HEADER_BYTES = 64
_MPEG_LAYER_3 = 0b01


def canonical_type(mime_type: str) -> str:
    """The one name that the rest of the system uses; empty for a type that is not accepted.

    Parameters after a semicolon and upper case do not matter.
    """
    return _CANONICAL.get(mime_type.partition(";")[0].strip().lower(), "")


def modality_of(canonical: str) -> Modality:
    """What a canonical type is to the model."""
    kind = canonical.partition("/")[0]
    return "image" if kind == "image" else "audio" if kind == "audio" else "video"


def sniffed_type(data: bytes) -> str:
    """The canonical type that a file's first bytes show; empty when they show none."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF"):
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(data[8:12], "")
    return _sniffed_stream_type(data)


def _sniffed_stream_type(data: bytes) -> str:
    if data.startswith(b"fLaC"):
        return "audio/flac"
    if data.startswith(b"OggS"):
        return "audio/ogg"
    if data[4:8] == b"ftyp":
        return "video/mp4"
    if data.startswith(_EBML):
        return "video/webm" if b"webm" in data[:_EBML_HEADER_BYTES] else ""
    if data.startswith(b"ID3") or _is_mp3_frame(data):
        return "audio/mpeg"
    return ""


def _is_mp3_frame(data: bytes) -> bool:
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:  # noqa: PLR2004 - the sync word
        return False
    return (data[1] >> 1) & 0b11 == _MPEG_LAYER_3 and data[2] >> 4 not in {0, 15}
