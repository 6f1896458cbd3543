"""Events of the stream benchmark: how they are made, found and accounted for."""

from __future__ import annotations

import pytest

from facet.api.v1.inference_service_pb2 import StreamGenerateContentResponse
from tools.bench.stream_clients import Received
from tools.bench.stream_marks import mark, marks
from tools.bench.stream_producer import Plan
from tools.bench.streams import arguments
from tools.bench.traffic import last_event, text_event

pytestmark = pytest.mark.unit

MILLISECOND = 1_000_000


def message(*indices: int) -> bytes:
    return b"".join(text_event(index, mark(index, index * MILLISECOND)) for index in indices)


def test_events_follow_the_contract_of_the_api_when_they_are_merged() -> None:
    events = StreamGenerateContentResponse.FromString(message(0, 1, 2) + last_event(3)).events

    assert [event.offset for event in events] == [0, 1, 2, 3]
    assert [(event.token_start, event.token_end) for event in events[:3]] == [
        (0, 1),
        (1, 2),
        (2, 3),
    ]
    assert "".join(event.text_delta.text for event in events)[
        events[2].text_delta.text_start :
    ] == (events[2].text_delta.text)
    assert events[3].WhichOneof("kind") == "finished"


def test_all_marks_are_found_when_a_message_is_not_decoded() -> None:
    wide = [0, 127, 128, 2**21, 2**26]

    assert marks(message(*wide)) == [(index, index * MILLISECOND) for index in wide]
    assert marks(last_event(5)) == []


def test_delays_and_messages_are_counted_when_events_arrive_in_order() -> None:
    received = Received()

    due = received.take(message(0), 2 * MILLISECOND, 0)
    due = received.take(message(1, 2), 5 * MILLISECOND, due)
    due = received.take(last_event(3), 9 * MILLISECOND, due)

    assert (due, received.events, received.messages) == (3, 3, 2)
    assert received.delays == {20: 1, 40: 1, 30: 1}
    assert (received.duplicates, received.gaps) == (0, 0)


def test_repeats_and_holes_are_counted_when_a_stream_is_not_exact() -> None:
    received = Received()

    due = received.take(message(0, 1), 0, 0)
    due = received.take(message(1), 0, due)
    due = received.take(message(4), 0, due)

    assert (due, received.events, received.duplicates, received.gaps) == (5, 3, 1, 1)


def test_workers_share_all_streams_when_they_do_not_divide_evenly() -> None:
    plan = Plan(streams=60, rate=20.0, seconds=1.5, streams_per_worker=25)

    assert plan.shares() == [25, 25, 10]
    assert plan.events_per_stream == 30


def test_the_run_is_refused_when_levels_and_times_do_not_match() -> None:
    with pytest.raises(SystemExit):
        arguments(["--streams", "1", "2", "--seconds", "3"])
