"""Events of decoded ids: ranges without gaps, one event a step where possible."""

from __future__ import annotations

import pytest

from facet.api.v1 import event_pb2
from facet.worker.engine.port import CallPiece, Decoded, TextPiece, ThoughtPiece, TokenLogprob
from facet.worker.events import EventBuilder

pytestmark = pytest.mark.unit

NOTHING = Decoded()


def text(value: str) -> Decoded:
    return Decoded((TextPiece(value),))


def thought(value: str) -> Decoded:
    return Decoded((ThoughtPiece(value),))


def ranges(events: list[event_pb2.Event]) -> list[tuple[int, int, int]]:
    return [(event.offset, event.token_start, event.token_end) for event in events]


def test_a_step_is_one_event_when_its_pieces_are_of_one_kind() -> None:
    builder = EventBuilder(7, include_thoughts=False)
    (event,) = builder.step([text("a"), NOTHING, text("bc"), NOTHING], 4)
    assert ranges([event]) == [(7, 0, 4)]
    assert event.text_delta.text == "abc"
    (event,) = builder.step([text("d")], 1)
    assert ranges([event]) == [(8, 4, 5)]
    assert event.text_delta.text_start == 3


def test_text_starts_count_characters_when_they_take_several_bytes() -> None:
    builder = EventBuilder(0, include_thoughts=False)
    builder.step([text("é😀")], 1)
    (event,) = builder.step([text("x")], 1)
    assert event.text_delta.text_start == 2


def test_ids_are_withheld_when_they_bring_nothing() -> None:
    (event,) = EventBuilder(0, include_thoughts=False).step([NOTHING, NOTHING], 2)
    assert event.WhichOneof("kind") == "withheld"
    assert ranges([event]) == [(0, 0, 2)]


def test_no_event_is_made_when_there_are_neither_ids_nor_pieces() -> None:
    assert EventBuilder(0, include_thoughts=False).step([NOTHING], 0) == []


def test_ranges_adjoin_when_a_step_brings_several_kinds() -> None:
    call = Decoded((CallPiece("call-0", "f", '{"a": 1}'),))
    builder = EventBuilder(0, include_thoughts=True)
    events = builder.step([thought("t"), NOTHING, text("x"), call, NOTHING], 5)
    assert [event.WhichOneof("kind") for event in events] == [
        "thought_delta",
        "text_delta",
        "function_call",
    ]
    assert ranges(events) == [(0, 0, 2), (1, 2, 3), (2, 3, 5)]
    assert events[2].function_call.args["a"] == 1
    assert builder.places[0].has_calls


def test_ranges_adjoin_when_one_id_brings_several_kinds() -> None:
    both = Decoded((ThoughtPiece("t"), TextPiece("x")))
    events = EventBuilder(0, include_thoughts=True).step([both], 1)
    assert ranges(events) == [(0, 0, 0), (1, 0, 1)]


def test_thoughts_are_withheld_when_they_were_not_asked_for() -> None:
    builder = EventBuilder(0, include_thoughts=False)
    (event,) = builder.step([thought("t"), thought("u")], 2)
    assert event.WhichOneof("kind") == "withheld"


def test_text_released_at_the_end_accounts_for_no_further_ids() -> None:
    builder = EventBuilder(0, include_thoughts=False)
    (event,) = builder.step([NOTHING, text("tail")], 1)
    assert ranges([event]) == [(0, 0, 1)]
    (event,) = builder.step([text("more")], 0)
    assert ranges([event]) == [(1, 1, 1)]


def test_replay_moves_the_ranges_but_not_the_offset() -> None:
    builder = EventBuilder(3, include_thoughts=False)
    builder.replay(text("abc"))
    builder.replay(NOTHING)
    (event,) = builder.step([text("d")], 1)
    assert ranges([event]) == [(3, 2, 3)]
    assert event.text_delta.text_start == 3


def test_markers_stand_at_the_end_of_the_ids() -> None:
    builder = EventBuilder(0, include_thoughts=False)
    builder.step([text("a")], 1)
    event = builder.resumed(event_pb2.Resumed(worker="w", attempt=2))
    assert ranges([event]) == [(1, 1, 1)]


def test_each_event_has_the_logprobs_of_its_ids_when_they_are_asked_for() -> None:
    builder = EventBuilder(0, include_thoughts=True)
    pieces = [Decoded((piece,)) for piece in (ThoughtPiece("a"), TextPiece("b"), TextPiece("c"))]
    logprobs = [TokenLogprob(i, str(i), -0.5, ((9, "n", -2.0),)) for i in range(3)]
    thought, text = builder.step(pieces, 3, logprobs)
    assert [each.token_id for each in thought.logprobs.tokens] == [0]
    assert [each.token_id for each in text.logprobs.tokens] == [1, 2]
    assert [(top.token_id, top.token) for top in text.logprobs.tokens[0].top] == [(9, "n")]


def test_ranges_and_logprobs_are_the_candidates_own_when_there_are_several() -> None:
    builder = EventBuilder(0, include_thoughts=False, candidates=2)
    builder.step([text("abc"), text("d")], 2, candidate=0)
    logprobs = [TokenLogprob(7, "x", -0.5)]
    (second,) = builder.step([text("x")], 1, logprobs, candidate=1)
    (first,) = builder.step([text("e")], 1, candidate=0)
    ended = builder.candidate_finished(event_pb2.CandidateFinished(), 1)
    last = builder.finished(event_pb2.Finished())
    assert ranges([second, first, ended, last]) == [(1, 0, 1), (2, 2, 3), (3, 1, 1), (4, 4, 4)]
    assert [event.candidate_index for event in (second, first, ended, last)] == [1, 0, 1, 0]
    assert (second.text_delta.text_start, first.text_delta.text_start) == (0, 4)
    assert [each.token_id for each in second.logprobs.tokens] == [7]
