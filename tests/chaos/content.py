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

_OF_A_CANDIDATE = (
    "text_delta",
    "thought_delta",
    "function_call",
    "withheld",
    "candidate_finished",
)


def events_faults(events: Sequence[event_pb2.Event], answers: Sequence[Answer]) -> list[str]:
    """Faults of the events of a log from its beginning on, whole or not."""
    reading = _LogReading([_CandidateReading(answer) for answer in answers])
    for event in events:
        reading.take(event)
    return reading.faults + [fault for each in reading.candidates for fault in each.faults]


def response_faults(
    response: inference_service_pb2.GenerateContentResponse, answers: Sequence[Answer]
) -> list[str]:
    """Faults of a whole answer with as many candidates as there are right answers."""
    faults = _differences(_usage(response.usage_metadata), _right_usage(answers))
    for index, (candidate, answer) in enumerate(zip(response.candidates, answers, strict=True)):
        parts = candidate.content.parts
        calls = [_call(part.function_call) for part in parts if part.HasField("function_call")]
        found = {
            "index": candidate.index,
            "text": "".join(part.text for part in parts if not part.thought),
            "thoughts": "".join(part.text for part in parts if part.thought),
            "calls": calls,
            "finish_reason": candidate.finish_reason,
        }
        faults += _differences(found, _right(answer) | {"index": index})
    return faults


@dataclass
class _LogReading:
    candidates: list[_CandidateReading]
    faults: list[str] = field(default_factory=list)
    attempt: int = 0

    def take(self, event: event_pb2.Event) -> None:
        kind = event.WhichOneof("kind")
        if kind == "finished":
            self._of_all(event)
            self._end(event.finished)
        elif kind in _OF_A_CANDIDATE:
            self._of_one(event, str(kind))
        else:
            self._of_all(event)
            self._begin(event, str(kind))

    def _of_one(self, event: event_pb2.Event, kind: str) -> None:
        if event.candidate_index < len(self.candidates):
            self.candidates[event.candidate_index].take(event, kind)
        else:
            self._fault(event, f"candidate {event.candidate_index}")

    def _of_all(self, event: event_pb2.Event) -> None:
        """What belongs to no candidate stands at the tokens of all."""
        tokens = sum(candidate.token_end for candidate in self.candidates)
        if (event.candidate_index, event.token_start, event.token_end) != (0, tokens, tokens):
            self._fault(event, f"tokens {event.token_start}..{event.token_end} of all {tokens}")

    def _begin(self, event: event_pb2.Event, kind: str) -> None:
        """A worker takes it up; a restart was accepted by no client."""
        attempt = event.resumed.attempt if kind == "resumed" else 1
        is_due = kind == ("resumed" if event.offset else "started")
        if not is_due or attempt <= self.attempt:
            self._fault(event, f"{kind}, attempt {attempt} after {self.attempt}")
        self.attempt = attempt
        prompt_tokens = event.started.prompt_token_count
        if kind == "started" and prompt_tokens != self.candidates[0].answer.prompt_tokens:
            self._fault(event, f"{prompt_tokens} prompt tokens")

    def _end(self, finished: event_pb2.Finished) -> None:
        if finished.HasField("failure"):
            self.faults += _failure_faults(finished)
            return
        if len(self.candidates) == 1:
            self.candidates[0].end(finished.finish_reason, finished.stop_sequence)
        if any(not candidate.is_ended for candidate in self.candidates):
            self.faults.append("finished before all candidates were")
        answers = [candidate.answer for candidate in self.candidates]
        found = {
            "finish_reason": finished.finish_reason,
            "stop_sequence": finished.stop_sequence,
            **_usage(finished.usage),
        }
        first = {
            "finish_reason": answers[0].finish_reason,
            "stop_sequence": answers[0].stop_sequence,
        }
        self.faults += _differences(found, first | _right_usage(answers))

    def _fault(self, event: event_pb2.Event, what: str) -> None:
        self.faults.append(f"offset {event.offset}: {what}")


@dataclass
class _CandidateReading:
    answer: Answer
    faults: list[str] = field(default_factory=list)
    text: str = ""
    thoughts: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    token_end: int = 0
    is_ended: bool = False

    def take(self, event: event_pb2.Event, kind: str) -> None:
        if event.token_start != self.token_end or event.token_end < event.token_start:
            self._fault(event, f"tokens {event.token_start}..{event.token_end}")
        if self.is_ended:
            self._fault(event, f"{kind} of a candidate that had ended")
        self.token_end = event.token_end
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
        elif kind == "candidate_finished":
            ended = event.candidate_finished
            self.end(ended.finish_reason, ended.stop_sequence)
        self._progress(event)

    def end(self, finish_reason: generation_pb2.FinishReason.ValueType, stop_sequence: str) -> None:
        """It ends: all that it says must have been said."""
        self.is_ended = True
        found = {
            "text": self.text,
            "thoughts": self.thoughts,
            "calls": self.calls,
            "tokens": self.token_end,
            "finish_reason": finish_reason,
            "stop_sequence": stop_sequence,
        }
        right = {"tokens": self.answer.output_tokens, "stop_sequence": self.answer.stop_sequence}
        self.faults += _differences(found, _right(self.answer) | right)

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
    }


def _right_usage(answers: Sequence[Answer]) -> dict[str, object]:
    """The prompt counts once."""
    prompt_tokens = answers[0].prompt_tokens
    output_tokens = sum(answer.output_tokens for answer in answers)
    thought_tokens = sum(answer.thought_tokens for answer in answers)
    return {
        "prompt_tokens": prompt_tokens,
        "thought_tokens": thought_tokens,
        "answer_tokens": output_tokens - thought_tokens,
        "total_tokens": prompt_tokens + output_tokens,
        "has_more_accepted_than_drafted": False,
    }


def _differences(found: dict[str, object], right: dict[str, object]) -> list[str]:
    return [f"{k}: {found[k]!r}, right is {right[k]!r}" for k in right if found[k] != right[k]]
