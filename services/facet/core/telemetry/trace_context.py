"""W3C trace context between calls, envelopes and spans."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
MAX_CHARACTERS = 512
"""Longer ones are dropped; the propagator would, too, with a line of the log for each."""

_W3C = TraceContextTextMapPropagator()


def context_of(sent: Iterable[tuple[str, str | bytes]]) -> Context:
    """The context that metadata carry; empty, for a new root, where none or a malformed one is."""
    headers = {
        key: value
        for key, value in sent
        if key in (TRACEPARENT, TRACESTATE)
        and isinstance(value, str)
        and len(value) <= MAX_CHARACTERS
    }
    return _W3C.extract(headers, Context())


def carried(span: trace.Span) -> tuple[str, str]:
    """`traceparent` and `tracestate` that make what follows a child of the span; empty for none."""
    headers: dict[str, str] = {}
    _W3C.inject(headers, trace.set_span_in_context(span, Context()))
    return headers.get(TRACEPARENT, ""), headers.get(TRACESTATE, "")


def trace_id_of(span: trace.Span) -> str:
    """32 hexadecimal digits; all zero for a span that is none."""
    return trace.format_trace_id(span.get_span_context().trace_id)


def span_id_of(span: trace.Span) -> str:
    """16 hexadecimal digits, likewise."""
    return trace.format_span_id(span.get_span_context().span_id)


def current_exemplar() -> dict[str, str] | None:
    """Labels that tie an observation to the trace that it is made in; None where that is not kept.

    For histograms of prometheus_client, which show them in the OpenMetrics format only.
    """
    span = trace.get_current_span()
    if not span.get_span_context().trace_flags.sampled:
        return None
    return {"trace_id": trace_id_of(span), "span_id": span_id_of(span)}
