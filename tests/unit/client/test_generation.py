"""Streams are checked and gathered; whole answers are read."""

from typing import Any

import pytest

import facet
from facet.api.v1 import (
    content_pb2,
    error_pb2,
    event_pb2,
    generation_pb2,
    inference_service_pb2,
)
from facet.client import (
    CandidateFinished,
    FinishReason,
    FunctionCall,
    Queued,
    Started,
    TextDelta,
    ThoughtDelta,
)
from facet.client.content import struct
from facet.client.events import decode_usage
from facet.client.generation import StreamState, from_response

pytestmark = pytest.mark.unit


def response(*events: event_pb2.Event) -> inference_service_pb2.StreamGenerateContentResponse:
    return inference_service_pb2.StreamGenerateContentResponse(events=events)


def text(offset: int, value: str, start: int) -> event_pb2.Event:
    delta = event_pb2.TextDelta(text=value, text_start=start)
    return event_pb2.Event(offset=offset, text_delta=delta)


def thought(offset: int, value: str, start: int) -> event_pb2.Event:
    delta = event_pb2.ThoughtDelta(text=value, text_start=start)
    return event_pb2.Event(offset=offset, thought_delta=delta)


def call(offset: int) -> event_pb2.Event:
    args = struct({"n": 3, "x": 0.5, "deep": [{"k": 1}]})
    function_call = content_pb2.FunctionCall(id="c1", name="f", args=args)
    return event_pb2.Event(offset=offset, function_call=function_call)


def finished(offset: int, **fields: Any) -> event_pb2.Event:
    fields.setdefault("finish_reason", generation_pb2.FINISH_REASON_STOP)
    return event_pb2.Event(offset=offset, finished=event_pb2.Finished(**fields))


def test_a_generation_is_gathered_when_a_stream_is_in_order() -> None:
    state = StreamState()
    state.generation_id = "g-1"
    usage = generation_pb2.UsageMetadata(
        prompt_token_count=4,
        candidates_token_count=3,
        accepted_draft_token_count=2,
        prompt_tokens_details=[
            generation_pb2.ModalityTokenCount(
                modality=generation_pb2.MODALITY_IMAGE, token_count=70
            )
        ],
    )

    events = state.feed(
        response(
            event_pb2.Event(queued=event_pb2.Queued(position=2, cold_start=True)),
            event_pb2.Event(offset=0, started=event_pb2.Started(worker="w")),
        )
    )
    events += state.feed(response(thought(1, "hm", 0), text(2, "né", 0)))
    events += state.feed(response(event_pb2.Event(offset=3, withheld=event_pb2.Withheld())))
    events += state.feed(response(text(4, "e", 2), finished(5, usage=usage)))

    kinds = [type(event).__name__ for event in events]
    assert kinds == ["Queued", "Started", "ThoughtDelta", "TextDelta", "TextDelta", "Finished"]
    assert events[0] == Queued(2, None, is_cold_start=True)
    assert events[1] == Started(0, "w", 0.0, 0)
    assert events[2] == ThoughtDelta(1, "hm", 0)
    assert events[3] == TextDelta(2, "né", 0)
    assert state.next_offset == 6
    generation = state.result()
    assert (generation.id, generation.text, generation.thoughts) == ("g-1", "née", "hm")
    assert generation.finish_reason is FinishReason.STOP
    assert generation.usage.accepted_draft_tokens == 2
    assert generation.usage.prompt_tokens_by_modality == {"image": 70}
    assert generation.content == facet.model_turn("née")


def test_thoughts_stay_in_the_turn_when_it_calls_a_function() -> None:
    state = StreamState()
    state.feed(
        response(thought(0, "I ", 0), thought(1, "call", 2), text(2, "so", 0), call(3), finished(4))
    )

    generation = state.result()

    assert generation.function_calls == (
        FunctionCall(3, "c1", "f", {"n": 3, "x": 0.5, "deep": [{"k": 1}]}),
    )
    kinds = [(p.WhichOneof("data"), p.text, p.thought) for p in generation.content.parts]
    assert kinds == [("text", "I call", True), ("text", "so", False), ("function_call", "", False)]


def test_whole_numbers_are_integers_when_a_call_carries_them() -> None:
    (event,) = StreamState().feed(response(call(0)))

    assert isinstance(event, FunctionCall)
    assert isinstance(event.arguments["n"], int)
    assert isinstance(event.arguments["x"], float)


@pytest.mark.parametrize(
    "events",
    [
        [text(1, "a", 0)],
        [text(0, "a", 0), text(2, "b", 1)],
        [text(0, "a", 0), text(0, "a", 1)],
        [text(0, "a", 0), text(1, "b", 0)],
        [text(0, "a", 0), text(1, "b", 2)],
        [finished(0), text(1, "a", 0)],
        [finished(0), finished(1)],
        [finished(0, failure=error_pb2.Failure(code=13)), text(1, "a", 0)],
    ],
    ids=[
        "late-start",
        "gap",
        "repeat",
        "text-repeat",
        "text-gap",
        "after-end",
        "two-ends",
        "after-failure",
    ],
)
def test_a_stream_is_refused_when_its_order_is_broken(events: list[event_pb2.Event]) -> None:
    state = StreamState()

    with pytest.raises(facet.StreamCorruptedError):
        state.feed(response(*events))


def test_a_stream_is_refused_when_it_has_no_end() -> None:
    state = StreamState()
    state.feed(response(text(0, "a", 0)))

    with pytest.raises(facet.StreamCorruptedError, match="offset 1"):
        state.result()


def test_the_rest_is_gathered_when_a_stream_begins_in_the_middle() -> None:
    state = StreamState(from_offset=7)

    state.feed(response(text(7, "né", 40), thought(8, "hm", 12), text(9, "e", 42), finished(10)))

    assert state.next_offset == 11
    assert (state.result().text, state.result().thoughts) == ("née", "hm")


@pytest.mark.parametrize(
    "events",
    [
        [text(0, "a", 0)],
        [text(6, "a", 40)],
        [text(8, "a", 40)],
        [text(7, "a", 40), text(8, "b", 40)],
        [text(7, "a", 40), text(8, "b", 42)],
        [thought(7, "a", 40), thought(8, "b", 42)],
    ],
    ids=["beginning", "too-early", "too-late", "text-repeat", "text-gap", "thought-gap"],
)
def test_a_stream_is_refused_when_it_does_not_go_on_from_its_offset(
    events: list[event_pb2.Event],
) -> None:
    state = StreamState(from_offset=7)

    with pytest.raises(facet.StreamCorruptedError):
        state.feed(response(*events))


def test_text_begins_anew_when_the_generation_restarts_after_the_offset() -> None:
    restarted = event_pb2.Event(offset=7, restarted=event_pb2.Restarted(worker="w2", attempt=2))

    with pytest.raises(facet.StreamCorruptedError):
        StreamState(from_offset=7).feed(response(restarted, text(8, "a", 1)))


def test_earlier_text_is_void_when_the_generation_restarts() -> None:
    state = StreamState()
    restarted = event_pb2.Event(offset=1, restarted=event_pb2.Restarted(worker="w2", attempt=2))

    state.feed(response(text(0, "lost", 0), restarted, text(2, "kept", 0), finished(3)))

    assert state.result().text == "kept"


def test_text_goes_on_when_the_generation_resumes() -> None:
    state = StreamState()
    resumed = event_pb2.Event(offset=1, resumed=event_pb2.Resumed(worker="w2", attempt=2))

    state.feed(response(text(0, "a", 0), resumed, text(2, "b", 1), finished(3)))

    assert state.result().text == "ab"


def test_the_failure_is_raised_when_the_last_event_tells_one() -> None:
    state = StreamState()
    failure = error_pb2.Failure(
        code=1, reason=error_pb2.ErrorReason.ERROR_REASON_CANCELLED, message="by a client"
    )

    assert state.feed(response(text(0, "a", 0), finished(1, failure=failure)))[1:] == []

    with pytest.raises(facet.FacetApiError) as caught:
        state.result()
    assert caught.value.reason == "CANCELLED"


def test_a_whole_answer_is_read_when_the_call_is_unary() -> None:
    content = content_pb2.Content(
        role=content_pb2.ROLE_MODEL,
        parts=[content_pb2.Part(text="hm", thought=True), content_pb2.Part(text="yes")],
    )
    candidate = inference_service_pb2.Candidate(
        content=content, finish_reason=generation_pb2.FINISH_REASON_MAX_TOKENS
    )
    message = inference_service_pb2.GenerateContentResponse(
        generation_id="g-2", candidates=[candidate]
    )

    generation = from_response(message)

    assert (generation.id, generation.text, generation.thoughts) == ("g-2", "yes", "hm")
    assert generation.finish_reason is FinishReason.MAX_TOKENS
    assert generation.content == facet.model_turn("yes")


def test_the_reason_is_unknown_when_a_later_version_sends_it() -> None:
    candidate = inference_service_pb2.Candidate.FromString(b"\x10\x63")
    message = inference_service_pb2.GenerateContentResponse(candidates=[candidate])

    assert from_response(message).finish_reason is FinishReason.UNKNOWN


def test_a_modality_is_unknown_when_a_later_version_sends_it() -> None:
    usage = generation_pb2.UsageMetadata()
    usage.prompt_tokens_details.add(token_count=3).modality = 99  # type: ignore[assignment]
    usage.prompt_tokens_details.add(token_count=2, modality=generation_pb2.MODALITY_TEXT)

    decoded = decode_usage(usage)

    assert decoded.prompt_tokens_by_modality == {"unknown": 3, "text": 2}


def of(index: int, event: event_pb2.Event) -> event_pb2.Event:
    event.candidate_index = index
    return event


def candidate_end(offset: int, reason: generation_pb2.FinishReason.ValueType) -> event_pb2.Event:
    ended = event_pb2.CandidateFinished(finish_reason=reason, stop_sequence="!")
    return event_pb2.Event(offset=offset, candidate_finished=ended)


def test_candidates_are_gathered_apart_when_their_events_take_turns() -> None:
    state = StreamState()
    events = state.feed(
        response(
            text(0, "a", 0),
            of(1, text(1, "x", 0)),
            of(1, call(2)),
            of(1, candidate_end(3, generation_pb2.FINISH_REASON_TOOL_CALLS)),
            text(4, "b", 1),
            candidate_end(5, generation_pb2.FINISH_REASON_MAX_TOKENS),
            finished(6, finish_reason=generation_pb2.FINISH_REASON_MAX_TOKENS),
        )
    )

    assert [getattr(event, "candidate_index", None) for event in events] == [0, 1, 1, 1, 0, 0, None]
    assert events[3] == CandidateFinished(3, 1, FinishReason.TOOL_CALLS, "!")
    generation = state.result()
    assert (generation.text, generation.finish_reason) == ("ab", FinishReason.MAX_TOKENS)
    assert generation.function_calls == ()
    first, second = generation.candidates
    assert (first.index, first.text, first.content) == (0, "ab", generation.content)
    assert (second.index, second.text, second.finish_reason) == (1, "x", FinishReason.TOOL_CALLS)
    assert [each.candidate_index for each in second.function_calls] == [1]
    kinds = [part.WhichOneof("data") for part in second.content.parts]
    assert kinds == ["text", "function_call"]


def test_all_candidates_are_void_when_the_generation_restarts() -> None:
    state = StreamState()
    state.feed(response(text(0, "a", 0), of(1, text(1, "x", 0)), of(2, text(2, "y", 0))))
    state.feed(response(event_pb2.Event(offset=3, restarted=event_pb2.Restarted(worker="w2"))))
    state.feed(response(of(1, text(4, "z", 0)), finished(5)))

    assert [each.text for each in state.result().candidates] == ["", "z"]


def test_a_stream_is_refused_when_the_text_of_one_candidate_has_a_gap() -> None:
    state = StreamState()
    state.feed(response(text(0, "abc", 0), of(1, text(1, "x", 0))))

    with pytest.raises(facet.StreamCorruptedError):
        state.feed(response(of(1, text(2, "y", 3))))


def test_all_candidates_are_read_when_the_call_is_unary() -> None:
    candidates = [
        inference_service_pb2.Candidate(
            index=index,
            content=content_pb2.Content(parts=[content_pb2.Part(text=text)]),
            finish_reason=generation_pb2.FINISH_REASON_STOP,
        )
        for index, text in enumerate(("a", "b"))
    ]
    generation = from_response(inference_service_pb2.GenerateContentResponse(candidates=candidates))

    assert generation.text == "a"
    assert [(each.index, each.text) for each in generation.candidates] == [(0, "a"), (1, "b")]
