"""Decoded ids to the events of a generation, with their token and text ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf import json_format

from facet.api.v1 import event_pb2
from facet.core.errors import EngineFailedError
from facet.worker.engine.port import (
    CallPiece,
    Decoded,
    Piece,
    TextPiece,
    ThoughtPiece,
    TokenLogprob,
)


@dataclass
class Place:
    """How far a candidate got: ids accounted for, and characters of each kind of delta."""

    token_count: int = 0
    has_calls: bool = False
    lengths: dict[str, int] = field(default_factory=lambda: {"text_delta": 0, "thought_delta": 0})


class EventBuilder:
    """Makes the events of one generation.

    Its state is where the log ends: `next_offset`, and the place of each candidate. With
    `include_thoughts` off, thoughts are withheld.
    """

    def __init__(self, next_offset: int, *, include_thoughts: bool, candidates: int = 1) -> None:
        self.next_offset = next_offset
        self.places = [Place() for _ in range(candidates)]
        self._include_thoughts = include_thoughts

    @property
    def token_count(self) -> int:
        """Ids accounted for, all candidates together."""
        return sum(place.token_count for place in self.places)

    def replay(self, decoded: Decoded, candidate: int = 0) -> None:
        """Account for an id that is in the log with all that it brought."""
        offset = self.next_offset
        self.step([decoded], 1, candidate=candidate)
        self.next_offset = offset

    def started(self, started: event_pb2.Started) -> event_pb2.Event:
        """The event of a first attempt."""
        return self._number(event_pb2.Event(started=started))

    def resumed(self, resumed: event_pb2.Resumed) -> event_pb2.Event:
        """The event of a later attempt."""
        return self._number(event_pb2.Event(resumed=resumed))

    def restarted(self, restarted: event_pb2.Restarted) -> event_pb2.Event:
        """The event of an attempt that starts over."""
        return self._number(event_pb2.Event(restarted=restarted))

    def candidate_finished(
        self, finished: event_pb2.CandidateFinished, candidate: int
    ) -> event_pb2.Event:
        """The last event of a candidate."""
        event = event_pb2.Event(candidate_finished=finished)
        self._close([event], 0, candidate)
        return event

    def finished(self, finished: event_pb2.Finished) -> event_pb2.Event:
        """The terminal event."""
        return self._number(event_pb2.Event(finished=finished))

    def step(
        self,
        decoded: Sequence[Decoded],
        id_count: int,
        logprobs: Sequence[TokenLogprob] = (),
        *,
        candidate: int = 0,
    ) -> list[event_pb2.Event]:
        """Events of a candidate's next `id_count` ids: one unless they bring different kinds.

        `logprobs` are those of the ids, or empty: each event carries those of its ids.

        What was withheld to the end may follow in `decoded` as one more entry. Errors:
        EngineFailedError for a call whose arguments are no JSON object.
        """
        events: list[event_pb2.Event] = []
        place = self.places[candidate]
        first = place.token_count
        for index, each in enumerate(decoded):
            end = first + min(index, id_count)
            for piece in each.pieces:
                if isinstance(piece, ThoughtPiece) and not self._include_thoughts:
                    continue
                _add(events, piece, end, place)
        if not events and id_count:
            events.append(event_pb2.Event(withheld=event_pb2.Withheld()))
        self._close(events, id_count, candidate)
        for event in events if logprobs else ():
            own = logprobs[event.token_start - first : event.token_end - first]
            event.logprobs.tokens.extend(_logprob(logprob) for logprob in own)
        return events

    def _close(self, events: list[event_pb2.Event], id_count: int, candidate: int) -> None:
        place = self.places[candidate]
        start = place.token_count
        place.token_count += id_count
        for event in events:
            if event is events[-1]:
                event.token_end = place.token_count
            event.token_start = start
            start = event.token_end
            event.candidate_index = candidate
            event.offset = self.next_offset
            self.next_offset += 1

    def _number(self, event: event_pb2.Event) -> event_pb2.Event:
        event.token_start = event.token_end = self.token_count
        event.offset = self.next_offset
        self.next_offset += 1
        return event


def _add(events: list[event_pb2.Event], piece: Piece, end: int, place: Place) -> None:
    """Lengthen the last event, or end it before id `end` and open another."""
    if isinstance(piece, CallPiece):
        call = event_pb2.Event()
        call.function_call.id = piece.call_id
        call.function_call.name = piece.name
        try:
            json_format.Parse(piece.arguments, call.function_call.args)
        except json_format.ParseError as error:
            raise EngineFailedError(
                "the arguments of the model's function call are no JSON object"
            ) from error
        place.has_calls = True
        _open(events, call, end)
        return
    kind = "text_delta" if isinstance(piece, TextPiece) else "thought_delta"
    if not events or events[-1].WhichOneof("kind") != kind:
        event = event_pb2.Event()
        getattr(event, kind).text_start = place.lengths[kind]
        _open(events, event, end)
    getattr(events[-1], kind).text += piece.text
    place.lengths[kind] += len(piece.text)


def _open(events: list[event_pb2.Event], event: event_pb2.Event, end: int) -> None:
    if events:
        events[-1].token_end = end
    events.append(event)


def _logprob(of: TokenLogprob) -> event_pb2.TokenLogprob:
    top = [
        event_pb2.TopLogprob(token_id=token_id, token=token, logprob=logprob)
        for token_id, token, logprob in of.top
    ]
    return event_pb2.TokenLogprob(token_id=of.token_id, token=of.token, logprob=of.logprob, top=top)
