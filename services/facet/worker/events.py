"""Decoded ids to the events of a generation, with their token and text ranges."""

from __future__ import annotations

from collections.abc import Sequence

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


class EventBuilder:
    """Makes the events of one generation.

    Its state is where the log ends: `next_offset`, `token_count` ids accounted for, characters of
    answer and thoughts. With `include_thoughts` off, thoughts are withheld.
    """

    def __init__(self, next_offset: int, *, include_thoughts: bool) -> None:
        self.next_offset = next_offset
        self.token_count = 0
        self.has_calls = False
        self._include_thoughts = include_thoughts
        self._lengths = {"text_delta": 0, "thought_delta": 0}

    def replay(self, decoded: Decoded) -> None:
        """Account for an id that is in the log with all that it brought."""
        offset = self.next_offset
        self.step([decoded], 1)
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

    def finished(self, finished: event_pb2.Finished) -> event_pb2.Event:
        """The terminal event."""
        return self._number(event_pb2.Event(finished=finished))

    def step(
        self, decoded: Sequence[Decoded], id_count: int, logprobs: Sequence[TokenLogprob] = ()
    ) -> list[event_pb2.Event]:
        """Events of the next `id_count` ids: one unless they bring different kinds of pieces.

        `logprobs` are those of the ids, or empty: each event carries those of its ids.

        What was withheld to the end may follow in `decoded` as one more entry. Errors:
        EngineFailedError for a call whose arguments are no JSON object.
        """
        events: list[event_pb2.Event] = []
        for index, each in enumerate(decoded):
            end = self.token_count + min(index, id_count)
            for piece in each.pieces:
                if isinstance(piece, ThoughtPiece) and not self._include_thoughts:
                    continue
                self._add(events, piece, end)
        if not events and id_count:
            events.append(event_pb2.Event(withheld=event_pb2.Withheld()))
        first = self.token_count
        self._close(events, id_count)
        for event in events if logprobs else ():
            own = logprobs[event.token_start - first : event.token_end - first]
            event.logprobs.tokens.extend(_logprob(logprob) for logprob in own)
        return events

    def _add(self, events: list[event_pb2.Event], piece: Piece, end: int) -> None:
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
            self.has_calls = True
            self._open(events, call, end)
            return
        kind = "text_delta" if isinstance(piece, TextPiece) else "thought_delta"
        if not events or events[-1].WhichOneof("kind") != kind:
            event = event_pb2.Event()
            getattr(event, kind).text_start = self._lengths[kind]
            self._open(events, event, end)
        getattr(events[-1], kind).text += piece.text
        self._lengths[kind] += len(piece.text)

    def _open(self, events: list[event_pb2.Event], event: event_pb2.Event, end: int) -> None:
        if events:
            events[-1].token_end = end
        events.append(event)

    def _close(self, events: list[event_pb2.Event], id_count: int) -> None:
        start = self.token_count
        self.token_count += id_count
        for event in events:
            if event is events[-1]:
                event.token_end = self.token_count
            event.token_start = start
            start = event.token_end
            event.offset = self.next_offset
            self.next_offset += 1

    def _number(self, event: event_pb2.Event) -> event_pb2.Event:
        event.token_start = event.token_end = self.token_count
        event.offset = self.next_offset
        self.next_offset += 1
        return event


def _logprob(of: TokenLogprob) -> event_pb2.TokenLogprob:
    top = [
        event_pb2.TopLogprob(token_id=token_id, token=token, logprob=logprob)
        for token_id, token, logprob in of.top
    ]
    return event_pb2.TokenLogprob(token_id=of.token_id, token=of.token, logprob=of.logprob, top=top)
