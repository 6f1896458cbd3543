"""Folding events into a whole answer."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from facet.api.v1.content_pb2 import ROLE_MODEL, FunctionCall
from facet.api.v1.event_pb2 import (
    CandidateFinished,
    Event,
    Finished,
    Logprobs,
    Restarted,
    Resumed,
    Started,
    TextDelta,
    ThoughtDelta,
    TokenLogprob,
    Withheld,
)
from facet.api.v1.generation_pb2 import (
    FINISH_REASON_CANCELLED,
    FINISH_REASON_MAX_TOKENS,
    FINISH_REASON_STOP,
    Timings,
    UsageMetadata,
)
from facet.gateway.folding import AnswerFold

pytestmark = pytest.mark.unit

FINISHED = Finished(
    finish_reason=FINISH_REASON_STOP,
    usage=UsageMetadata(candidates_token_count=7),
    timings=Timings(queue_wait=Duration(seconds=1), attempts=2),
)


def _text(text: str) -> Event:
    return Event(text_delta=TextDelta(text=text))


def _thought(text: str) -> Event:
    return Event(thought_delta=ThoughtDelta(text=text))


def _call(name: str) -> Event:
    return Event(function_call=FunctionCall(name=name))


def _parts(*events: Event, include_thoughts: bool = True) -> list[str]:
    fold = AnswerFold(include_thoughts=include_thoughts)
    fold.add(events)
    fold.add([Event(finished=FINISHED)])
    [candidate] = fold.to_response("g", "nano").candidates
    return [
        f"call {part.function_call.name}"
        if part.HasField("function_call")
        else f"{'thought' if part.thought else 'text'} {part.text}"
        for part in candidate.content.parts
    ]


def test_deltas_of_one_kind_join_when_consecutive() -> None:
    events = (_thought("t"), _thought("u"), _text("a"), Event(withheld=Withheld()), _text("b"))
    assert _parts(*events) == ["thought tu", "text ab"]


def test_order_is_kept_when_kinds_alternate() -> None:
    events = (_text("a"), _call("f"), _call("g"), _text("b"), _thought("c"), _text("d"))
    assert _parts(*events) == ["text a", "call f", "call g", "text b", "thought c", "text d"]


def test_thoughts_are_left_out_when_not_asked_for() -> None:
    assert _parts(_thought("t"), _text("a"), include_thoughts=False) == ["text a"]


def test_earlier_parts_are_void_when_restarted_and_kept_when_resumed() -> None:
    assert _parts(_text("a"), Event(resumed=Resumed()), _text("b")) == ["text ab"]
    assert _parts(_text("a"), Event(restarted=Restarted()), _text("b")) == ["text b"]


def test_accounts_are_told_when_finished() -> None:
    fold = AnswerFold(include_thoughts=False)
    logprobs = Logprobs(tokens=[TokenLogprob(token_id=5)])
    fold.add([Event(started=Started()), Event(text_delta=TextDelta(text="a"), logprobs=logprobs)])
    fold.add([Event(finished=FINISHED)])
    answer = fold.to_response("g-1", "nano")
    [candidate] = answer.candidates
    assert (answer.generation_id, answer.model) == ("g-1", "nano")
    assert answer.usage_metadata == FINISHED.usage
    assert answer.timings == FINISHED.timings
    assert candidate.finish_reason == FINISH_REASON_STOP
    assert candidate.content.role == ROLE_MODEL
    assert candidate.logprobs == logprobs


def test_candidates_are_kept_apart_when_there_are_several() -> None:
    fold = AnswerFold(include_thoughts=False)
    fold.add(
        Event(candidate_index=index, text_delta=TextDelta(text=text))
        for index, text in [(1, "b"), (0, "a"), (1, "B"), (0, "A")]
    )
    candidates = fold.to_response("g", "nano").candidates
    assert [(c.index, c.content.parts[0].text) for c in candidates] == [(0, "aA"), (1, "bB")]


def _candidate_end(index: int) -> Event:
    finished = CandidateFinished(finish_reason=FINISH_REASON_MAX_TOKENS)
    return Event(candidate_index=index, candidate_finished=finished)


def test_each_candidate_has_its_own_reason_when_it_ended_by_itself() -> None:
    fold = AnswerFold(include_thoughts=False)
    fold.add([_text("a"), _candidate_end(1), Event(candidate_index=2, withheld=Withheld())])
    fold.add([Event(finished=Finished(finish_reason=FINISH_REASON_CANCELLED))])
    candidates = fold.to_response("g", "nano").candidates
    assert [candidate.finish_reason for candidate in candidates] == [
        FINISH_REASON_CANCELLED,
        FINISH_REASON_MAX_TOKENS,
        FINISH_REASON_CANCELLED,
    ]


def test_all_candidates_are_void_when_restarted() -> None:
    fold = AnswerFold(include_thoughts=False)
    fold.add([_text("a"), Event(candidate_index=1, text_delta=TextDelta(text="b"))])
    fold.add([_candidate_end(1), Event(restarted=Restarted())])
    fold.add([Event(candidate_index=index, text_delta=TextDelta(text="c")) for index in (1, 0)])
    fold.add([Event(finished=FINISHED)])
    answer = fold.to_response("g", "nano")
    assert [(c.index, c.content.parts[0].text, c.finish_reason) for c in answer.candidates] == [
        (0, "c", FINISH_REASON_STOP),
        (1, "c", FINISH_REASON_STOP),
    ]
