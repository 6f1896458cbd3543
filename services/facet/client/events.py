"""The events of a stream as Python values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf import duration_pb2, json_format

from facet.api.v1 import content_pb2, event_pb2, generation_pb2


class FinishReason(Enum):
    """Why a generation ended with an answer. Failures are raised, not finished."""

    UNKNOWN = "unknown"
    STOP = "stop"
    MAX_TOKENS = "max_tokens"
    TOOL_CALLS = "tool_calls"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    ERROR = "error"


@dataclass(frozen=True)
class Usage:
    """Token accounting. `prompt_tokens_by_modality` is keyed by text, image, audio and video."""

    prompt_tokens: int = 0
    prompt_tokens_by_modality: Mapping[str, int] | None = None
    cached_prompt_tokens: int = 0
    output_tokens: int = 0
    thought_tokens: int = 0
    total_tokens: int = 0
    drafted_tokens: int = 0
    accepted_draft_tokens: int = 0


@dataclass(frozen=True)
class Timings:
    """Where the time went, as the server saw it. `attempts` is 1 unless a worker was lost."""

    queue_wait_seconds: float = 0.0
    render_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    attempts: int = 0


@dataclass(frozen=True)
class Queued:
    """No worker has it yet. The wait is None while the server cannot tell."""

    position: int
    estimated_wait_seconds: float | None
    is_cold_start: bool


@dataclass(frozen=True)
class Started:
    """A worker began."""

    offset: int
    worker: str
    queue_wait_seconds: float
    prompt_tokens: int


@dataclass(frozen=True)
class TextDelta:
    """A piece of an answer; `text_start` is its place in this answer, in characters."""

    offset: int
    text: str
    text_start: int
    candidate_index: int = 0


@dataclass(frozen=True)
class ThoughtDelta:
    """A piece of thoughts; `text_start` is its place in the candidate's thoughts, in characters."""

    offset: int
    text: str
    text_start: int
    candidate_index: int = 0


@dataclass(frozen=True)
class FunctionCall:
    """A complete call of a declared function. `offset` is 0 outside of a stream."""

    offset: int
    id: str
    name: str
    arguments: Mapping[str, Any]
    candidate_index: int = 0


@dataclass(frozen=True)
class Resumed:
    """A worker was lost; another goes on exactly there."""

    offset: int
    worker: str
    attempt: int


@dataclass(frozen=True)
class Restarted:
    """A worker was lost; everything before this event is void, for all candidates."""

    offset: int
    worker: str
    attempt: int


@dataclass(frozen=True)
class CandidateFinished:
    """One of several candidates has ended."""

    offset: int
    candidate_index: int
    finish_reason: FinishReason
    stop_sequence: str = ""


@dataclass(frozen=True)
class Finished:
    """The end. Reason and stop sequence are those of the first candidate, usage is that of all."""

    offset: int
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    stop_sequence: str = ""


StreamEvent = (
    Queued
    | Started
    | TextDelta
    | ThoughtDelta
    | FunctionCall
    | Resumed
    | Restarted
    | CandidateFinished
    | Finished
)


def decode(event: event_pb2.Event) -> StreamEvent | None:
    """The typed form; None for what shows nothing (withheld tokens, kinds of later versions)."""
    decoder = _DECODERS.get(event.WhichOneof("kind") or "")
    return decoder(event) if decoder else None


def decode_call(
    call: content_pb2.FunctionCall, offset: int = 0, candidate_index: int = 0
) -> FunctionCall:
    """A call with its arguments as plain Python values; whole numbers become int."""
    arguments = json_format.MessageToDict(call.args)
    return FunctionCall(offset, call.id, call.name, _plain(arguments), candidate_index)


def decode_usage(usage: generation_pb2.UsageMetadata) -> Usage:
    """Token accounting as a Python value."""
    return Usage(
        prompt_tokens=usage.prompt_token_count,
        prompt_tokens_by_modality={
            decode_modality(entry.modality): entry.token_count
            for entry in usage.prompt_tokens_details
        },
        cached_prompt_tokens=usage.cached_content_token_count,
        output_tokens=usage.candidates_token_count,
        thought_tokens=usage.thoughts_token_count,
        total_tokens=usage.total_token_count,
        drafted_tokens=usage.drafted_token_count,
        accepted_draft_tokens=usage.accepted_draft_token_count,
    )


def decode_timings(timings: generation_pb2.Timings) -> Timings:
    """Timings in seconds."""
    return Timings(
        queue_wait_seconds=_seconds(timings.queue_wait),
        render_seconds=_seconds(timings.render),
        prefill_seconds=_seconds(timings.prefill),
        decode_seconds=_seconds(timings.decode),
        attempts=timings.attempts,
    )


def decode_finish_reason(reason: int) -> FinishReason:
    """The reason by name; UNKNOWN for what a later version may send."""
    if reason not in generation_pb2.FinishReason.values():
        return FinishReason.UNKNOWN
    name = generation_pb2.FinishReason.Name(generation_pb2.FinishReason.ValueType(reason))
    return FinishReason.__members__.get(name.removeprefix("FINISH_REASON_"), FinishReason.UNKNOWN)


def decode_modality(modality: int) -> str:
    """The modality by name; "unknown" for what a later version may send."""
    if modality not in generation_pb2.Modality.values():
        return "unknown"
    name = generation_pb2.Modality.Name(generation_pb2.Modality.ValueType(modality))
    return name.removeprefix("MODALITY_").lower()


def _queued(event: event_pb2.Event) -> Queued:
    queued = event.queued
    is_known = queued.HasField("estimated_wait")
    wait = _seconds(queued.estimated_wait) if is_known else None
    return Queued(queued.position, wait, queued.cold_start)


def _started(event: event_pb2.Event) -> Started:
    started = event.started
    wait = _seconds(started.queue_wait)
    return Started(event.offset, started.worker, wait, started.prompt_token_count)


def _text(event: event_pb2.Event) -> TextDelta:
    delta = event.text_delta
    return TextDelta(event.offset, delta.text, delta.text_start, event.candidate_index)


def _thought(event: event_pb2.Event) -> ThoughtDelta:
    delta = event.thought_delta
    return ThoughtDelta(event.offset, delta.text, delta.text_start, event.candidate_index)


def _function_call(event: event_pb2.Event) -> FunctionCall:
    return decode_call(event.function_call, event.offset, event.candidate_index)


def _resumed(event: event_pb2.Event) -> Resumed:
    return Resumed(event.offset, event.resumed.worker, event.resumed.attempt)


def _restarted(event: event_pb2.Event) -> Restarted:
    return Restarted(event.offset, event.restarted.worker, event.restarted.attempt)


def _candidate_finished(event: event_pb2.Event) -> CandidateFinished:
    finished = event.candidate_finished
    return CandidateFinished(
        event.offset,
        event.candidate_index,
        decode_finish_reason(finished.finish_reason),
        finished.stop_sequence,
    )


def _finished(event: event_pb2.Event) -> Finished:
    finished = event.finished
    return Finished(
        event.offset,
        decode_finish_reason(finished.finish_reason),
        decode_usage(finished.usage),
        decode_timings(finished.timings),
        finished.stop_sequence,
    )


_DECODERS: Mapping[str, Callable[[event_pb2.Event], StreamEvent]] = {
    "queued": _queued,
    "started": _started,
    "text_delta": _text,
    "thought_delta": _thought,
    "function_call": _function_call,
    "resumed": _resumed,
    "restarted": _restarted,
    "candidate_finished": _candidate_finished,
    "finished": _finished,
}


def _seconds(duration: duration_pb2.Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
