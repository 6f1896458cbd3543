"""A whole generation, and how a stream becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from facet.api.v1 import event_pb2, inference_service_pb2
from facet.client import errors
from facet.client.content import Content, Part, model_turn
from facet.client.events import (
    CandidateFinished,
    Finished,
    FinishReason,
    FunctionCall,
    Restarted,
    StreamEvent,
    TextDelta,
    ThoughtDelta,
    Timings,
    Usage,
    decode,
    decode_call,
    decode_finish_reason,
    decode_timings,
    decode_usage,
)


@dataclass(frozen=True)
class Candidate:
    """One of the answers of a generation; `content` as in `Generation`."""

    index: int
    text: str
    thoughts: str
    function_calls: tuple[FunctionCall, ...]
    finish_reason: FinishReason
    content: Content


@dataclass(frozen=True)
class Generation:
    """An ended generation.

    `candidates` are its answers by index; text, thoughts, function calls, finish reason and content
    are those of the first. `usage` counts the output of all. `content` is the model's turn as it
    goes into the next request of a conversation: thoughts are part of it only beside function
    calls, whose continuation needs them.
    """

    id: str
    text: str
    thoughts: str
    function_calls: tuple[FunctionCall, ...]
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    content: Content
    candidates: tuple[Candidate, ...] = ()


def from_response(response: inference_service_pb2.GenerateContentResponse) -> Generation:
    """The generation of an answered call."""
    return _generation(
        response.generation_id,
        [_candidate(candidate) for candidate in response.candidates],
        decode_usage(response.usage_metadata),
        decode_timings(response.timings),
    )


def _candidate(message: inference_service_pb2.Candidate) -> Candidate:
    parts = message.content.parts
    calls = tuple(
        decode_call(part.function_call, candidate_index=message.index)
        for part in parts
        if part.HasField("function_call")
    )
    return Candidate(
        index=message.index,
        text="".join(p.text for p in parts if p.HasField("text") and not p.thought),
        thoughts="".join(p.text for p in parts if p.HasField("text") and p.thought),
        function_calls=calls,
        finish_reason=decode_finish_reason(message.finish_reason),
        content=model_turn(*(p for p in parts if calls or not p.thought)),
    )


def _generation(
    generation_id: str, candidates: Sequence[Candidate], usage: Usage, timings: Timings
) -> Generation:
    first = candidates[0] if candidates else _candidate(inference_service_pb2.Candidate())
    return Generation(
        id=generation_id,
        text=first.text,
        thoughts=first.thoughts,
        function_calls=first.function_calls,
        finish_reason=first.finish_reason,
        usage=usage,
        timings=timings,
        content=first.content,
        candidates=tuple(candidates),
    )


@dataclass
class _Gathered:
    """What came of a candidate."""

    # None where the place is not known yet: the stream began in the middle of an answer.
    text_length: int | None
    thoughts_length: int | None
    text: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    calls: list[FunctionCall] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    def to_candidate(self, index: int, finish_reason: FinishReason) -> Candidate:
        """The candidate; `finish_reason` is for one that has none of its own."""
        return Candidate(
            index=index,
            text="".join(self.text),
            thoughts="".join(self.thoughts),
            function_calls=tuple(self.calls),
            finish_reason=self.finish_reason or finish_reason,
            content=model_turn(*_merged(self.parts, with_thoughts=bool(self.calls))),
        )


class StreamState:
    """Checks the order of a stream from `from_offset` on and gathers what it brings.

    `next_offset` is the offset that the stream has to go on with: where a reader attaches again.
    """

    def __init__(self, from_offset: int = 0) -> None:
        self.generation_id = ""
        self.next_offset = from_offset
        self._begins_at: int | None = None if from_offset else 0
        self._candidates: dict[int, _Gathered] = {}
        self._finished: Finished | None = None
        self._failure: errors.FacetApiError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the last event has arrived."""
        return self._finished is not None or self._failure is not None

    def feed(
        self, response: inference_service_pb2.StreamGenerateContentResponse
    ) -> list[StreamEvent]:
        """The events of one message.

        Errors: StreamCorruptedError at a gap or a repeat; what came before it was in order.
        """
        events = []
        for message in response.events:
            if message.WhichOneof("kind") != "queued":
                self._advance(message)
            event = decode(message)
            if event is not None:
                self._keep(event, message)
                if self._failure is None:
                    events.append(event)
        return events

    def result(self) -> Generation:
        """The generation, after the stream ended with status OK.

        Errors: FacetApiError where the last event tells a failure, StreamCorruptedError where the
        stream ended without one.
        """
        if self._failure is not None:
            raise self._failure
        if self._finished is None:
            raise errors.StreamCorruptedError(
                f"the stream ended without a finished event, before offset {self.next_offset}"
            )
        finished = self._finished
        # A stream that begins behind the last piece of the answer still has one.
        self._gathered(0)
        candidates = [
            gathered.to_candidate(index, finished.finish_reason)
            for index, gathered in sorted(self._candidates.items())
        ]
        return _generation(self.generation_id, candidates, finished.usage, finished.timings)

    def _advance(self, message: event_pb2.Event) -> None:
        if self.is_complete:
            raise errors.StreamCorruptedError(f"offset {message.offset} follows the last event")
        if message.offset != self.next_offset:
            raise errors.StreamCorruptedError(
                f"offset {message.offset} where {self.next_offset} was due"
            )
        self.next_offset += 1

    def _keep(self, event: StreamEvent, message: event_pb2.Event) -> None:
        kept = self._gathered(message.candidate_index)
        match event:
            case TextDelta():
                kept.text_length = _place_after(event, kept.text_length)
                kept.text.append(event.text)
                kept.parts.append(Part(text=event.text))
            case ThoughtDelta():
                kept.thoughts_length = _place_after(event, kept.thoughts_length)
                kept.thoughts.append(event.text)
                kept.parts.append(Part(text=event.text, thought=True))
            case FunctionCall():
                kept.calls.append(event)
                kept.parts.append(Part(function_call=message.function_call))
            case Restarted():
                self._candidates.clear()
                self._begins_at = 0
            case CandidateFinished():
                kept.finish_reason = event.finish_reason
            case Finished() if message.finished.HasField("failure"):
                self._failure = errors.from_failure(message.finished.failure, self.generation_id)
            case Finished():
                self._finished = event

    def _gathered(self, index: int) -> _Gathered:
        begins_at = self._begins_at
        return self._candidates.setdefault(index, _Gathered(begins_at, begins_at))


def _place_after(delta: TextDelta | ThoughtDelta, due: int | None) -> int:
    if due is not None and delta.text_start != due:
        raise errors.StreamCorruptedError(
            f"text at offset {delta.offset} begins at character {delta.text_start} "
            f"where {due} was due"
        )
    return delta.text_start + len(delta.text)


def _merged(parts: Sequence[Part], *, with_thoughts: bool) -> list[Part]:
    """Neighbouring pieces of the same kind as one part."""
    merged: list[Part] = []
    for (is_text, is_thought), group in groupby(parts, _kind):
        if not is_text:
            merged.extend(group)
        elif with_thoughts or not is_thought:
            merged.append(Part(text="".join(p.text for p in group), thought=is_thought))
    return merged


def _kind(part: Part) -> tuple[bool, bool]:
    return part.HasField("text"), part.thought
