"""Cutting messages between events."""

from __future__ import annotations

import pytest

from facet.api.v1.event_pb2 import Event, TextDelta
from facet.api.v1.inference_service_pb2 import StreamGenerateContentResponse
from facet.gateway.framing import event_frames, frames_from

pytestmark = pytest.mark.unit

# Lengths of one, two and three bytes.
TEXTS = ("", "x" * 100, "é" * 5_000, "y" * 70_000)


def _message(*texts: str) -> bytes:
    events = [Event(offset=9, text_delta=TextDelta(text=text)) for text in texts]
    return StreamGenerateContentResponse(events=events).SerializeToString()


def test_each_event_is_a_message_of_its_own_when_cut() -> None:
    frames = event_frames(_message(*TEXTS))
    assert frames == [_message(text) for text in TEXTS]
    assert event_frames(b"") == []


@pytest.mark.parametrize("skipped", range(len(TEXTS) + 1))
def test_first_events_are_left_out_when_skipped(skipped: int) -> None:
    assert frames_from(_message(*TEXTS), skipped) == _message(*TEXTS[skipped:])


@pytest.mark.parametrize(
    "damaged",
    [b"\x12\x00", b"\x0a", b"\x0a\x05ab", b"\x0a\xff", _message("abc")[:-1], b"\x0a\x00\x0b"],
)
def test_bytes_are_refused_when_they_are_no_events(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="events"):
        event_frames(damaged)
