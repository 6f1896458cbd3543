"""What is wrong with the content of a log or an answer, compared with the one right answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf import json_format

from facet.api.v1 import (
    content_pb2,
    error_pb2,
    event_pb2,
    generation_pb2,
    inference_service_pb2,
)
from tests.chaos.expected import Answer

_FinishReason = generation_pb2.FinishReason


def events_faults(events: Sequence[event_pb2.Event], answer: Answer) -> list[str]:
    """Faults of the events of a log from its beginning on, whole or not."""
    reading = _LogReading(answer)
    for event in events:
        reading.take(event)
    return reading.faults


def response_faults(
    response: inference_service_pb2.GenerateContentResponse, answer: Answer
) -> list[str]:
    """Faults of a whole answer with one candidate."""
    parts = response.candidates[0].content.parts
    found = {
        "text": "".join(part.text for part in parts if not part.thought),
        "thoughts": "".join(part.text for part in parts if part.thought),
        "calls": [_call(part.function_call) for part in parts if part.HasField("function_call")],
        "finish_reason": response.candidates[0].finish_reason,
        **_usage(response.usage_metadata),
    }
    return _differences(found, _right(answer))


@dataclass
class _LogReading:
    answer: Answer
    faults: list[str] = field(default_factory=list)
    text: str = ""
    thoughts: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    attempt: int = 0
    token_end: int = 0

    def take(self, event: event_pb2.Event) -> None:
        if event.token_start != self.token_end or event.token_end < event.token_start:
            self._fault(event, f"tokens {event.token_start}..{event.token_end}")
        self.token_end = event.token_end
        kind = event.WhichOneof("kind")
        if kind == "text_delta":
            if event.text_delta.text_start != len(self.text):
                self._fault(event, "its text begins elsewhere")
            self.text += event.text_delta.text
        elif kind == "thought_delta":
            if event.thought_delta.text_start != len(self.thoughts):
                self._fault(event, "its thoughts begin elsewhere")
            self.thoughts += event.thought_delta.text
        elif kind == "function_call":
            self.calls.append(_call(event.function_call))
        elif kind == "finished":
            self._end(event.finished)
        elif kind != "withheld":
            self._begin(event, str(kind))
        self._progress(event)

    def _begin(self, event: event_pb2.Event, kind: str) -> None:
        """A worker takes it up; a restart was accepted by no client."""
        attempt = event.resumed.attempt if kind == "resumed" else 1
        is_due = kind == ("resumed" if event.offset else "started")
        if not is_due or attempt <= self.attempt:
            self._fault(event, f"{kind}, attempt {attempt} after {self.attempt}")
        self.attempt = attempt
        prompt_tokens = event.started.prompt_token_count
        if kind == "started" and prompt_tokens != self.answer.prompt_tokens:
            self._fault(event, f"{prompt_tokens} prompt tokens")

    def _progress(self, event: event_pb2.Event) -> None:
        """All that the accounted tokens free must be out, and nothing that they do not hold."""
        answer, at = self.answer, event.token_end
        if at > answer.output_tokens:
            self._fault(event, f"token {at} of {answer.output_tokens}")
            return
        # Text that the end frees follows the thoughts of the same step in an event of its own.
        least = 0 if event.HasField("thought_delta") else answer.released[at]
        if not least <= len(self.text) <= answer.decoded[at]:
            self._fault(event, f"{len(self.text)} characters after {at} tokens")
        if not answer.text.startswith(self.text):
            self._fault(event, "the text differs")
        if self.thoughts != answer.thoughts[: answer.thought_lengths[at]]:
            self._fault(event, "the thoughts differ")
        if len(self.calls) != bool(answer.call and at >= answer.call_at):
            self._fault(event, f"{len(self.calls)} calls after {at} tokens")

    def _end(self, finished: event_pb2.Finished) -> None:
        if finished.HasField("failure"):
            self.faults += _failure_faults(finished)
            return
        found = {
            "text": self.text,
            "thoughts": self.thoughts,
            "calls": self.calls,
            "finish_reason": finished.finish_reason,
            "stop_sequence": finished.stop_sequence,
            **_usage(finished.usage),
        }
        right = _right(self.answer) | {"stop_sequence": self.answer.stop_sequence}
        self.faults += _differences(found, right)

    def _fault(self, event: event_pb2.Event, what: str) -> None:
        self.faults.append(f"offset {event.offset}: {what}")


def _failure_faults(finished: event_pb2.Finished) -> list[str]:
    wanted = {
        error_pb2.ERROR_REASON_CANCELLED: _FinishReason.FINISH_REASON_CANCELLED,
        error_pb2.ERROR_REASON_DEADLINE_EXCEEDED: _FinishReason.FINISH_REASON_DEADLINE,
    }.get(finished.failure.reason, _FinishReason.FINISH_REASON_ERROR)
    if finished.finish_reason == wanted:
        return []
    return [f"failure {finished.failure.reason} with finish reason {finished.finish_reason}"]


def _call(call: content_pb2.FunctionCall) -> tuple[str, str, str]:
    arguments = json_format.MessageToDict(call.args)
    return call.id, call.name, json.dumps(arguments, sort_keys=True)


def _usage(usage: generation_pb2.UsageMetadata) -> dict[str, object]:
    """The counts that are the same however often the request was cut."""
    return {
        "prompt_tokens": usage.prompt_token_count,
        "thought_tokens": usage.thoughts_token_count,
        "answer_tokens": usage.candidates_token_count,
        "total_tokens": usage.total_token_count,
        "has_more_accepted_than_drafted": (
            usage.accepted_draft_token_count > usage.drafted_token_count
        ),
    }


def _right(answer: Answer) -> dict[str, object]:
    calls = []
    if answer.call:
        call_id, name, arguments = answer.call
        calls = [(call_id, name, json.dumps(json.loads(arguments), sort_keys=True))]
    return {
        "text": answer.text,
        "thoughts": answer.thoughts,
        "calls": calls,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "thought_tokens": answer.thought_tokens,
        "answer_tokens": answer.output_tokens - answer.thought_tokens,
        "total_tokens": answer.prompt_tokens + answer.output_tokens,
        "has_more_accepted_than_drafted": False,
    }


def _differences(found: dict[str, object], right: dict[str, object]) -> list[str]:
    return [f"{k}: {found[k]!r}, right is {right[k]!r}" for k in right if found[k] != right[k]]
