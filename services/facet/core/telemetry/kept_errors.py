"""The tail decision: what the head did not sample is kept where it ended in an error."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanContext, StatusCode, TraceFlags

MAX_OPEN = 4096
"""Spans that may be under way at once; for one beyond that, the oldest local root and all that is
under it are given up, as one that never ends would be."""

MAX_SPANS = 64
"""Spans that are kept of one local root, which is always among them."""


@dataclass(eq=False)
class _Held:
    """What ended under one local root; `is_error` when any of it did so in an error.

    `under_way` are the ids of those that have not, its own among them.
    """

    spans: list[ReadableSpan] = field(default_factory=list)
    under_way: set[int] = field(default_factory=set)
    is_error: bool = False


class KeptErrors(SpanProcessor):
    """Passes sampled spans on, and others when what they belong to ended in an error.

    What belongs together are the spans of this process under one local root: a call of the gateway,
    an attempt of the worker. They are held until that ends and then passed on as if sampled, all or
    none; one that ends after it is left out. Other processes decide for themselves.
    """

    def __init__(self, kept: SpanProcessor) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        # By span id, of every span that is under way, oldest first: that one is a local root.
        self._open: dict[int, _Held] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """See `SpanProcessor.on_start`."""
        own, parent = span.get_span_context(), _local_parent(span)
        if own is None or own.trace_flags.sampled:
            return
        with self._lock:
            held = _Held() if parent is None else self._open.get(parent)
            if held is None:
                return
            if len(self._open) >= MAX_OPEN:
                oldest = next(iter(self._open.values()))
                self._give_up(oldest)
                if held is oldest:
                    return
            self._open[own.span_id] = held
            held.under_way.add(own.span_id)

    def on_end(self, span: ReadableSpan) -> None:
        """See `SpanProcessor.on_end`."""
        own, parent = span.get_span_context(), _local_parent(span)
        if own is None or own.trace_flags.sampled:
            self._kept.on_end(span)
            return
        with self._lock:
            held = self._open.pop(own.span_id, None)
            if held is None:
                return
            held.under_way.remove(own.span_id)
            held.is_error = held.is_error or span.status.status_code is StatusCode.ERROR
            if parent is None or len(held.spans) < MAX_SPANS - 1:
                held.spans.append(span)
            if parent is None:
                self._give_up(held)
        # Nobody else has it any more.
        if parent is None and held.is_error:
            for each in held.spans:
                self._kept.on_end(_as_sampled(each))

    def shutdown(self) -> None:
        """See `SpanProcessor.shutdown`."""
        self._kept.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See `SpanProcessor.force_flush`."""
        return self._kept.force_flush(timeout_millis)

    def _give_up(self, held: _Held) -> None:
        for span_id in held.under_way:
            del self._open[span_id]


def _local_parent(span: ReadableSpan) -> int | None:
    """The id of its parent in this process; None for a local root."""
    parent = span.parent
    return None if parent is None or parent.is_remote else parent.span_id


def _as_sampled(span: ReadableSpan) -> ReadableSpan:
    own = span.get_span_context() or trace.INVALID_SPAN_CONTEXT
    return ReadableSpan(
        name=span.name,
        context=SpanContext(
            own.trace_id,
            own.span_id,
            is_remote=own.is_remote,
            trace_flags=TraceFlags(own.trace_flags | TraceFlags.SAMPLED),
            trace_state=own.trace_state,
        ),
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
