"""The load test's own check of a stream."""

from __future__ import annotations

import pytest

from facet.api.v1 import event_pb2, inference_service_pb2
from loadtest.stream_meter import StreamFaultError, StreamMeter

pytestmark = pytest.mark.unit

Response = inference_service_pb2.StreamGenerateContentResponse


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def text(offset: int, start: int, piece: str, at: int, tokens: int = 1) -> event_pb2.Event:
    delta = event_pb2.TextDelta(text=piece, text_start=at)
    return event_pb2.Event(
        offset=offset, token_start=start, token_end=start + tokens, text_delta=delta
    )


def started(offset: int = 0) -> event_pb2.Event:
    return event_pb2.Event(offset=offset, started=event_pb2.Started(worker="w"))


def finished(offset: int) -> event_pb2.Event:
    return event_pb2.Event(offset=offset, finished=event_pb2.Finished())


def feed(meter: StreamMeter, *events: event_pb2.Event) -> None:
    for event in events:
        meter.feed(Response(events=[event]))


def test_times_are_taken_when_tokens_arrive() -> None:
    clock = Clock()
    meter = StreamMeter(clock)

    clock.now += 0.5
    feed(meter, event_pb2.Event(queued=event_pb2.Queued(position=1)), started())
    clock.now += 0.25
    feed(meter, text(1, 0, "é", 0))
    clock.now += 0.5
    feed(meter, text(2, 1, "ab", 1, tokens=2))
    clock.now += 1
    feed(meter, finished(3))

    assert meter.first_token_seconds == 0.75
    assert meter.token_latencies_seconds == [0.25, 0.25]
    assert meter.end() == 2.25
    assert meter.response_bytes > 0


@pytest.mark.parametrize(
    ("events", "rule"),
    [
        ([started(1)], "gap"),
        ([started(), started()], "repeat"),
        ([started(), text(1, 0, "a", 0), text(2, 2, "b", 1)], "tokens do not follow"),
        ([started(), text(1, 0, "ab", 0), text(2, 1, "c", 1)], "text does not follow"),
        ([started(), finished(1), started(2)], "after the finished event"),
    ],
)
def test_the_rule_is_named_when_a_stream_breaks_it(
    events: list[event_pb2.Event], rule: str
) -> None:
    with pytest.raises(StreamFaultError, match=rule):
        feed(StreamMeter(Clock()), *events)


def test_the_end_is_missed_when_a_stream_stops_without_it() -> None:
    meter = StreamMeter(Clock())
    feed(meter, started())

    with pytest.raises(StreamFaultError, match="without a finished event"):
        meter.end()


def test_tokens_count_anew_when_a_generation_restarts() -> None:
    meter = StreamMeter(Clock())
    restarted = event_pb2.Event(offset=2, restarted=event_pb2.Restarted(worker="w", attempt=2))

    feed(meter, started(), text(1, 0, "a", 0), restarted, text(3, 0, "b", 0), finished(4))

    assert meter.is_finished
