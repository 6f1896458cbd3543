"""Checks and times one stream of events, apart from Locust and gRPC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from facet.api.v1 import event_pb2, inference_service_pb2


class StreamFaultError(Exception):
    """The stream broke the contract of the API; the message names the rule."""


@dataclass
class StreamMeter:
    """Fed with the responses of one stream as they arrive.

    `clock` gives seconds; the stream begins when the meter is made. `token_latencies_seconds` has
    one entry for each output token after the first message with tokens: the time since the
    message before, shared among the tokens that came together.
    """

    clock: Callable[[], float]
    first_token_seconds: float | None = None
    token_latencies_seconds: list[float] = field(default_factory=list)
    is_finished: bool = False
    response_bytes: int = 0
    _started: float = field(init=False)
    _last_tokens: float = field(init=False)
    _next_offset: int = 0
    _next_token: int = 0
    _next_character: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._started = self._last_tokens = self.clock()

    def feed(self, response: inference_service_pb2.StreamGenerateContentResponse) -> None:
        """Take in one message. Errors: StreamFaultError."""
        tokens_before = self._next_token
        self.response_bytes += response.ByteSize()
        for event in response.events:
            self._check(event)
        tokens = self._next_token - tokens_before
        if tokens > 0:
            self._time(tokens)

    def end(self) -> float:
        """Seconds that the whole stream took. Errors: StreamFaultError without a last event."""
        if not self.is_finished:
            raise StreamFaultError("ended without a finished event")
        return self.clock() - self._started

    def _check(self, event: event_pb2.Event) -> None:
        kind = event.WhichOneof("kind")
        if kind == "queued":
            return
        if self.is_finished:
            raise StreamFaultError("event after the finished event")
        if event.offset != self._next_offset:
            raise StreamFaultError("gap" if event.offset > self._next_offset else "repeat")
        self._next_offset += 1
        if kind == "restarted":
            self._next_token = 0
            self._next_character.clear()
        elif event.token_end > 0:
            if event.token_start != self._next_token or event.token_end < event.token_start:
                raise StreamFaultError("tokens do not follow each other")
            self._next_token = event.token_end
        if kind in ("text_delta", "thought_delta"):
            self._check_text(kind, getattr(event, kind))
        self.is_finished = kind == "finished"

    def _check_text(self, kind: str, delta: event_pb2.TextDelta | event_pb2.ThoughtDelta) -> None:
        if delta.text_start != self._next_character.get(kind, 0):
            raise StreamFaultError("text does not follow")
        self._next_character[kind] = delta.text_start + len(delta.text)

    def _time(self, tokens: int) -> None:
        now = self.clock()
        if self.first_token_seconds is None:
            self.first_token_seconds = now - self._started
        else:
            self.token_latencies_seconds += [(now - self._last_tokens) / tokens] * tokens
        self._last_tokens = now
