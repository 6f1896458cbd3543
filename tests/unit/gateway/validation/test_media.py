"""Media types, first bytes and headers."""

from __future__ import annotations

import struct

import pytest

from facet.core.errors import MediaUndecodableError
from facet.gateway.validation.media_types import SUPPORTED, canonical_type, sniffed_type
from tests.support.media_samples import (
    GIF,
    JPEG,
    MP4,
    PNG,
    SAMPLES,
    WAV,
    WEBP,
    gif,
    jpeg,
    mp4,
    png,
    wav,
    webp,
)
from tests.unit.gateway.validation.cases import asked, inline, refusal, wrong_fields

pytestmark = pytest.mark.unit

BLOB = "request.contents[0].parts[0].inline_data"


def _fault(mime_type: str, data: bytes) -> str:
    error = refusal(asked(inline(mime_type, data)))
    if error is None:
        return ""
    assert type(error) is MediaUndecodableError
    [violation] = error.violations
    assert violation.field == f"{BLOB}.data"
    return violation.description


@pytest.mark.parametrize("mime_type", SAMPLES)
def test_medium_is_accepted_when_its_bytes_are_what_its_type_says(mime_type: str) -> None:
    assert sniffed_type(SAMPLES[mime_type]) == mime_type
    assert _fault(mime_type, SAMPLES[mime_type]) == ""


def test_each_supported_type_has_a_sample_when_listed() -> None:
    assert set(SAMPLES) == set(SUPPORTED)


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("image/jpg", "image/jpeg"),
        ("IMAGE/PNG", "image/png"),
        ("audio/x-wav; codecs=1", "audio/wav"),
        ("audio/mp3", "audio/mpeg"),
        ("image/svg+xml", ""),
        ("", ""),
    ],
)
def test_type_is_one_name_when_spelled_differently(spelling: str, canonical: str) -> None:
    assert canonical_type(spelling) == canonical


@pytest.mark.parametrize("mime_type", ["", "text/plain", "image/tiff", "image/*", "png"])
def test_type_is_named_when_it_is_not_accepted(mime_type: str) -> None:
    assert wrong_fields(asked(inline(mime_type, PNG))) == [f"{BLOB}.mime_type"]


def test_data_are_named_when_empty() -> None:
    assert wrong_fields(asked(inline("image/png", b""))) == [f"{BLOB}.data"]


@pytest.mark.parametrize("declared", SAMPLES)
@pytest.mark.parametrize("actual", SAMPLES)
def test_medium_is_refused_when_its_bytes_are_of_another_type(declared: str, actual: str) -> None:
    fault = _fault(declared, SAMPLES[actual])
    assert fault == (
        "" if declared == actual else f"the bytes are {actual}, declared is {declared}"
    )


@pytest.mark.parametrize("mime_type", SAMPLES)
def test_medium_is_refused_when_it_is_noise(mime_type: str) -> None:
    assert "of no known type" in _fault(mime_type, bytes(range(7, 256)))


@pytest.mark.parametrize(
    ("mime_type", "data"),
    [
        ("image/png", PNG[:-1]),
        ("image/png", PNG[:-12]),
        ("image/png", PNG[:20]),
        ("image/jpeg", JPEG[:-2]),
        ("image/jpeg", JPEG[:30]),
        ("image/jpeg", JPEG[:4]),
        ("image/gif", GIF[:-1]),
        ("image/gif", GIF[:8]),
        ("image/webp", WEBP[:-1]),
        ("image/webp", WEBP[:12]),
        ("video/mp4", MP4[:-1]),
        ("video/mp4", mp4(has_index=False)),
        ("audio/wav", WAV[:44]),
        ("audio/wav", WAV[:30]),
        ("audio/wav", wav(channels=0)),
        ("audio/wav", wav(rate_hz=0)),
        ("audio/flac", SAMPLES["audio/flac"][:20]),
        ("audio/ogg", SAMPLES["audio/ogg"][:20]),
    ],
)
def test_medium_is_refused_when_cut_off_or_damaged(mime_type: str, data: bytes) -> None:
    assert _fault(mime_type, data)


@pytest.mark.parametrize(
    ("mime_type", "make"),
    [("image/png", png), ("image/jpeg", jpeg), ("image/gif", gif), ("image/webp", webp)],
)
def test_image_is_refused_when_its_dimensions_are_out_of_bounds(
    mime_type: str, make: object
) -> None:
    assert callable(make)
    assert _fault(mime_type, make(8000, 5000)) == ""
    assert "too large" in _fault(mime_type, make(16385, 1))
    assert "too large" in _fault(mime_type, make(8000, 5001))
    if make is not webp:
        assert "no pixels" in _fault(mime_type, make(0, 5))


@pytest.mark.parametrize("size", [3, 5])
def test_webp_size_is_read_when_lossy_or_lossless(size: int) -> None:
    lossy = bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", size, size)
    lossless = b"\x2f" + struct.pack("<I", (size - 1) | (size - 1) << 14)
    for kind, body in ((b"VP8 ", lossy), (b"VP8L", lossless)):
        chunk = kind + struct.pack("<I", len(body)) + body
        assert (
            _fault("image/webp", b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk)
            == ""
        )
    huge = bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", 0, size)
    chunk = b"VP8 " + struct.pack("<I", len(huge)) + huge
    assert _fault("image/webp", b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk)


def test_walk_is_bounded_when_a_file_is_nearly_all_empty_boxes() -> None:
    boxes = MP4[:20] + b"\0\0\0\x08free" * 60_000 + MP4[20:]
    chunks = PNG[:33] + (bytes(4) + b"tEXt" + bytes(4)) * 60_000 + PNG[33:]
    assert _fault("video/mp4", boxes)
    assert _fault("image/png", chunks)
    assert _fault("video/mp4", MP4[:20] + b"\0\0\0\x08free" * 100 + MP4[20:]) == ""
    assert _fault("image/png", PNG[:33] + (bytes(4) + b"tEXt" + bytes(4)) * 100 + PNG[33:]) == ""
