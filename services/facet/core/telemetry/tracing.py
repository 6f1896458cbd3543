"""Spans of a service: set up once, made through `Tracing`, sent in the background."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    AlwaysRecordSampler,
    ParentBasedTraceIdRatio,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.resource import ResourceAttributes
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    use_span,
)
from opentelemetry.util.types import AttributeValue

from facet.core.errors import FacetError
from facet.core.telemetry.exporting import batching, exporter_to, stop_batching
from facet.core.telemetry.kept_errors import KeptErrors
from facet.core.telemetry.settings import TelemetrySettings

MAX_ATTRIBUTE_CHARACTERS = 1 << 16
"""Longer values are cut: recorded content may be long."""

# As the conventions have it for servers, and ABORTED, with which an answer is given up.
_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.ABORTED,
    }
)

_IDS = RandomIdGenerator()


@dataclass(frozen=True)
class Tracing:
    """Makes the spans of a service. Without a tracer they only carry ids, at next to no cost.

    `records_content`: whether prompts and answers may stand in spans.
    """

    tracer: Tracer | None = None
    records_content: bool = False

    def span(
        self,
        name: str,
        parent: Context | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue] | None = None,
        start_ns: int | None = None,
    ) -> Span:
        """A started span, under `parent` or what is current; the caller ends it.

        `start_ns` is in nanoseconds since 1970, unset for this moment. Exceptions are never
        recorded by themselves: their texts may quote a prompt.
        """
        tracer = self.tracer or NoOpTracer()
        return tracer.start_span(
            name,
            parent,
            kind,
            attributes,
            start_time=start_ns,
            record_exception=False,
            set_status_on_exception=False,
        )

    def local_root(
        self,
        name: str,
        parent: Context,
        *,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None = None,
        start_ns: int | None = None,
    ) -> Span:
        """The first span of a call or attempt; it has a trace id, whether or not it is kept."""
        span = self.span(name, parent, kind=kind, attributes=attributes, start_ns=start_ns)
        if span.get_span_context().is_valid:
            return span
        ids = SpanContext(_IDS.generate_trace_id(), _IDS.generate_span_id(), is_remote=False)
        return NonRecordingSpan(ids)

    @contextmanager
    def phase(
        self,
        name: str,
        parent: Context | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Iterator[Span]:
        """A span that is current, and lasts, while the context is open."""
        span = self.span(name, parent, kind=kind, attributes=attributes)
        try:
            with as_current(span):
                yield span
        except FacetError as error:
            fail(span, error)
            raise
        finally:
            span.end()


UNTRACED = Tracing()


@contextmanager
def as_current(span: Span) -> Iterator[None]:
    """Make a span the parent of what begins inside; it neither ends with this nor takes errors."""
    with use_span(span, record_exception=False, set_status_on_exception=False):
        yield


def fail(span: Span, error: FacetError) -> None:
    """Tell a span why it failed: by the reason, for the message may quote the request.

    A fault of ours makes it an error, what the caller did wrong or was refused does not.
    """
    span.set_attribute(ERROR_TYPE, error.reason_name())
    if error.code in _FAULTS:
        span.set_status(StatusCode.ERROR, error.reason_name())


@asynccontextmanager
async def tracing(
    settings: TelemetrySettings, service: str, resource: Mapping[str, str]
) -> AsyncIterator[Tracing]:
    """The tracing of a service while the context is open; what was not sent is sent at its end.

    `resource` adds to what all spans tell of their process. Nothing here waits for the collector,
    but the end, for at most `STOP_SECONDS`.
    """
    if not settings.trace_endpoint:
        yield UNTRACED
        return
    processor = batching(exporter_to(settings.trace_endpoint, settings.trace_ca_file))
    provider = TracerProvider(
        sampler=AlwaysRecordSampler(ParentBasedTraceIdRatio(settings.trace_sample_ratio)),
        resource=resource_of(service, resource),
        span_limits=SpanLimits(max_attribute_length=MAX_ATTRIBUTE_CHARACTERS),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(KeptErrors(processor))
    try:
        yield Tracing(provider.get_tracer("facet"), settings.trace_content)
    finally:
        await stop_batching(processor)


def resource_of(service: str, more: Mapping[str, str]) -> Resource:
    """What all spans of a process tell of it; OTEL_RESOURCE_ATTRIBUTES adds to it."""
    return Resource.create(
        {
            ResourceAttributes.SERVICE_NAMESPACE: "facet",
            ResourceAttributes.SERVICE_NAME: f"facet-{service}",
            **{key: value for key, value in more.items() if value},
        }
    )
