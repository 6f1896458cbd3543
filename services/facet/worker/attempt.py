"""What one attempt tells of itself: its spans as it goes, its timing when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.util.types import AttributeValue
from structlog.contextvars import bind_contextvars

from facet.api.queue.v1 import envelope_pb2
from facet.api.v1 import event_pb2, generation_pb2
from facet.core.errors import FacetError
from facet.core.telemetry import gen_ai
from facet.core.telemetry.timing import Timings
from facet.core.telemetry.trace_context import TRACEPARENT, TRACESTATE, context_of, trace_id_of
from facet.core.telemetry.tracing import UNTRACED, Tracing, as_current, fail
from facet.queue.id_words import count_ids
from facet.queue.values import Claimed
from facet.worker.attempt_content import input_messages, output_messages
from facet.worker.engine.port import Prompt, Step
from facet.worker.measures import ENGINE_DIED
from facet.worker.occupancy import Occupancy
from facet.worker.pace import Pace

_MODALITIES = {
    "text": generation_pb2.MODALITY_TEXT,
    "image": generation_pb2.MODALITY_IMAGE,
    "audio": generation_pb2.MODALITY_AUDIO,
    "video": generation_pb2.MODALITY_VIDEO,
}


@dataclass(frozen=True)
class Telling:
    """Whom a worker's attempts tell, and `identity`, what all of them say of the worker:

    `facet.model`, `facet.pool`, `facet.profile` and `facet.worker`.
    """

    tracing: Tracing = UNTRACED
    timings: Timings = field(default_factory=lambda: Timings(None))
    identity: Mapping[str, str] = field(default_factory=dict)


class Attempt:
    """One attempt at one request, from its claim.

    Call `begin` once the envelope is read, `entered` and `stepped` as the engine goes on, `end` in
    any case. Spans are made once a phase, and those that ended outlive a worker that is killed.
    """

    def __init__(
        self, claimed: Claimed, telling: Telling, occupancy: Occupancy, asked_at: float | None
    ) -> None:
        """`asked_at`: when the claim was asked for, on the monotonic clock."""
        self.pace = Pace(occupancy)
        self._claimed = claimed
        self._telling = telling
        self._tracing = telling.tracing
        self._claimed_at = time.monotonic()
        self._asked_at = self._claimed_at if asked_at is None else asked_at
        self._epoch_ns = time.time_ns() - time.monotonic_ns()
        self._span: Span | None = None
        self._context = Context()
        self._outcome = ""

    def begin(self, envelope: envelope_pb2.Envelope) -> None:
        """Start the attempt's span in the request's trace, and tell of what came before it."""
        request, claimed = envelope.request, self._claimed
        sent = ((TRACEPARENT, envelope.traceparent), (TRACESTATE, envelope.tracestate))
        parent = context_of(sent)
        self._span = self._tracing.local_root(
            f"{gen_ai.OPERATION} {request.model}",
            parent,
            kind=SpanKind.CONSUMER,
            attributes={
                **gen_ai.request_attributes(request),
                gen_ai.GENERATION_ID: claimed.lease.generation_id,
                "facet.attempt": claimed.attempt,
                "facet.queue_seconds": claimed.waited_ms / 1000,
                "facet.resumed_tokens": count_ids(claimed.token_ids),
                **self._telling.identity,
            },
            start_ns=self._ns(self._asked_at),
        )
        self._context = set_span_in_context(self._span, Context())
        # For what is observed in the task of this attempt; it ends with the task.
        contexts.attach(self._context)
        marks = {"request_id": request.request_id} if request.request_id else {}
        bind_contextvars(trace_id=trace_id_of(self._span), **marks)
        if self._tracing.records_content:
            self._span.set_attributes(input_messages(request))
        if claimed.attempt == 1:
            waited_at = self._claimed_at - claimed.waited_ms / 1000
            self._past("queue.wait", waited_at, self._claimed_at, parent=parent)
        self._past("claim", self._asked_at, self._claimed_at)

    def phase(
        self, name: str, attributes: Mapping[str, AttributeValue] | None = None
    ) -> AbstractContextManager[Span]:
        """A span that lasts while the context is open."""
        return self._tracing.phase(name, self._context, attributes=attributes)

    def as_current(self) -> AbstractContextManager[None]:
        """What is observed inside is tied to the attempt by an exemplar."""
        return as_current(self._begun())

    def entered(self) -> None:
        """The engine is asked for a candidate."""
        self.pace.entered()

    def left(self) -> None:
        """The engine is done with a candidate, which still counts as inside."""
        self.pace.left()

    def stepped(self, step: Step, began_at: float) -> None:
        """A step was decoded and logged since `began_at`, on the monotonic clock."""
        if not self.pace.stepped(step, began_at):
            return
        pace = self.pace
        attributes: dict[str, AttributeValue] = {"facet.cached_tokens": pace.cached_tokens}
        if pace.engine_times is not None:
            attributes |= {
                "facet.engine.queue_seconds": pace.engine_times.queue_seconds,
                "facet.engine.prefill_seconds": pace.engine_times.prefill_seconds,
            }
        self._past("prefill", pace.entered_at or began_at, pace.last_at, attributes)

    def fail(self, error: FacetError) -> None:
        """The attempt ends with an error that the client is told."""
        self._outcome = error.reason_name()
        fail(self._begun(), error)

    def end(
        self,
        outcome: str,
        *,
        finished: event_pb2.Finished | None,
        prompt: Prompt | None,
        response: Callable[[], bytes],
    ) -> None:
        """The attempt is over: `outcome` holds unless it failed. `response` gives its events."""
        outcome = self._outcome or outcome
        span = self._begun()
        if self.pace.first_at is not None:
            self._tell_decoding(self.pace.first_at)
        span.set_attribute("facet.outcome", outcome)
        if outcome == ENGINE_DIED:
            span.set_attribute(ERROR_TYPE, outcome)
            span.set_status(StatusCode.ERROR, outcome)
        if finished is not None:
            span.set_attributes(gen_ai.answer_attributes(finished))
        if self._tracing.records_content:
            span.set_attributes(output_messages(response()))
        span.end()
        if prompt is not None and self.pace.first_at is not None:
            self._tell_timing(outcome, prompt)

    def _begun(self) -> Span:
        if self._span is None:
            self.begin(envelope_pb2.Envelope())
        assert self._span is not None  # noqa: S101 - begin sets it
        return self._span

    def _tell_decoding(self, first_at: float) -> None:
        pace = self.pace
        attributes: dict[str, AttributeValue] = {
            "facet.output_tokens": pace.output_tokens,
            "facet.drafted_tokens": pace.drafted_tokens,
            "facet.accepted_tokens": pace.accepted_tokens,
            "facet.steps": pace.steps,
            "facet.batch_size": pace.mean_batch,
        }
        if pace.engine_times is not None:
            attributes |= {
                "facet.engine.decode_seconds": pace.engine_times.decode_seconds,
                "facet.engine.preemptions": pace.engine_times.preemptions,
            }
        self._past("decode", first_at, pace.last_at, attributes)
        # Decoder and parsers take turns with the engine, a step each.
        self._past(
            "parse", first_at, pace.last_at, {"facet.parse.busy_seconds": pace.parse_seconds}
        )

    def _tell_timing(self, outcome: str, prompt: Prompt) -> None:
        if not self._telling.timings.is_on:
            return
        pace, claimed, counts = self.pace, self._claimed, dict(prompt.modality_tokens)
        # The engine prefills what earlier attempts made, too.
        counts[_MODALITIES["text"]] = counts.get(_MODALITIES["text"], 0) + count_ids(
            claimed.token_ids
        )
        attributes: dict[str, str | int | float] = {
            **self._telling.identity,
            **{
                f"facet.prompt_tokens.{name}": counts.get(modality, 0)
                for name, modality in _MODALITIES.items()
            },
            "facet.cached_tokens": pace.cached_tokens,
            "facet.output_tokens": pace.output_tokens,
            "facet.drafted_tokens": pace.drafted_tokens,
            "facet.accepted_tokens": pace.accepted_tokens,
            "facet.steps": pace.steps,
            "facet.queue_seconds": claimed.waited_ms / 1000,
            "facet.prefill_seconds": pace.prefill_seconds,
            "facet.decode_seconds": pace.decode_seconds,
            "facet.batch_size": pace.mean_batch,
            "facet.outcome": outcome,
        }
        self._telling.timings.tell(
            attributes,
            self._context,
            start_ns=self._ns(self._claimed_at),
            end_ns=self._ns(pace.last_at),
        )

    def _past(
        self,
        name: str,
        began_at: float,
        ended_at: float,
        attributes: Mapping[str, AttributeValue] | None = None,
        parent: Context | None = None,
    ) -> None:
        """A span of what is over; moments are on the monotonic clock."""
        context = self._context if parent is None else parent
        span = self._tracing.span(name, context, attributes=attributes, start_ns=self._ns(began_at))
        span.end(self._ns(ended_at))

    def _ns(self, at: float) -> int:
        return self._epoch_ns + int(at * 1e9)
