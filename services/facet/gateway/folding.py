"""Folding a log's events into one whole answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from facet.api.v1.content_pb2 import ROLE_MODEL, Content, FunctionCall, Part
from facet.api.v1.event_pb2 import Event, Finished, Logprobs
from facet.api.v1.generation_pb2 import FINISH_REASON_UNSPECIFIED
from facet.api.v1.inference_service_pb2 import Candidate, GenerateContentResponse


@dataclass
class _Piece:
    """Consecutive deltas of one kind, or one function call."""

    is_thought: bool = False
    texts: list[str] = field(default_factory=list)
    call: FunctionCall | None = None

    def to_part(self) -> Part:
        if self.call is not None:
            return Part(function_call=self.call)
        return Part(text="".join(self.texts), thought=self.is_thought)


class _CandidateFold:
    def __init__(self) -> None:
        self.pieces: list[_Piece] = []
        self.finish_reason = FINISH_REASON_UNSPECIFIED
        self.logprobs = Logprobs()

    def add_text(self, text: str, *, is_thought: bool) -> None:
        last = self.pieces[-1] if self.pieces else None
        if last is None or last.call is not None or last.is_thought != is_thought:
            last = _Piece(is_thought=is_thought)
            self.pieces.append(last)
        last.texts.append(text)

    def to_candidate(self, index: int) -> Candidate:
        candidate = Candidate(
            content=Content(role=ROLE_MODEL, parts=[piece.to_part() for piece in self.pieces]),
            finish_reason=self.finish_reason,
            index=index,
        )
        if self.logprobs.tokens:
            candidate.logprobs.CopyFrom(self.logprobs)
        return candidate


class AnswerFold:
    """Collects events in order; `include_thoughts` keeps thought parts."""

    def __init__(self, *, include_thoughts: bool) -> None:
        self._include_thoughts = include_thoughts
        self._candidates: dict[int, _CandidateFold] = {}
        self._finished = Finished()

    def add(self, events: Iterable[Event]) -> None:
        """Take the next events. A `restarted` event voids what came before it."""
        for event in events:
            kind = event.WhichOneof("kind")
            if kind == "restarted":
                self._candidates.clear()
                continue
            fold = self._candidates.setdefault(event.candidate_index, _CandidateFold())
            fold.logprobs.tokens.extend(event.logprobs.tokens)
            if kind == "text_delta":
                fold.add_text(event.text_delta.text, is_thought=False)
            elif kind == "thought_delta" and self._include_thoughts:
                fold.add_text(event.thought_delta.text, is_thought=True)
            elif kind == "function_call":
                fold.pieces.append(_Piece(call=event.function_call))
            elif kind == "candidate_finished":
                fold.finish_reason = event.candidate_finished.finish_reason
            elif kind == "finished":
                self._finish(event.finished)

    def to_response(self, generation_id: str, model: str) -> GenerateContentResponse:
        """The whole answer."""
        response = GenerateContentResponse(
            generation_id=generation_id,
            model=model,
            candidates=[
                fold.to_candidate(index) for index, fold in sorted(self._candidates.items())
            ],
        )
        response.usage_metadata.CopyFrom(self._finished.usage)
        response.timings.CopyFrom(self._finished.timings)
        return response

    def _finish(self, finished: Finished) -> None:
        """What ends the generation ends the candidates that have no end of their own."""
        self._finished = finished
        for fold in self._candidates.values():
            fold.finish_reason = fold.finish_reason or finished.finish_reason
