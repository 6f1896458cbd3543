"""What marks one call: its span, and the ids that its logs, its answer and its errors name."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from google.rpc import error_details_pb2
from opentelemetry import trace
from opentelemetry.semconv._incubating.attributes import rpc_attributes as rpc
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span, SpanKind
from structlog.contextvars import bind_contextvars, bound_contextvars, get_contextvars

from facet.core.telemetry.gen_ai import GENERATION_ID
from facet.core.telemetry.trace_context import context_of, trace_id_of
from facet.core.telemetry.tracing import Tracing, as_current
from facet.gateway.authenticator import Metadata

TRACE_ID_KEY = "facet-trace-id"
REQUEST_ID_KEY = "facet-request-id"

_TRACED = "/facet.v1."


def is_traced(method: str) -> bool:
    """Whether calls of a method (`/package.Service/Method`) have spans: health has none."""
    return method.startswith(_TRACED)


@contextmanager
def traced_call(tracing: Tracing, method: str, sent: Metadata) -> Iterator[Span]:
    """The call's span, current while the context is open, under what the client's metadata name."""
    name = method.removeprefix("/")
    attributes = {rpc.RPC_SYSTEM_NAME: "grpc", rpc.RPC_METHOD: name}
    span = tracing.local_root(name, context_of(sent), kind=SpanKind.SERVER, attributes=attributes)
    marks = bound_contextvars(trace_id=trace_id_of(span), request_id=secrets.token_hex(8))
    try:
        with as_current(span), marks:
            yield span
    except asyncio.CancelledError:
        span.set_attribute(ERROR_TYPE, "CANCELLED")
        raise
    finally:
        span.end()


def name_request(request_id: str) -> None:
    """Name the current call as its client does, if that may stand in metadata."""
    if request_id and request_id.isascii():
        bind_contextvars(request_id=request_id)


def name_generation(generation_id: str) -> None:
    """Tell what generation the current call is about."""
    bind_contextvars(generation_id=generation_id)
    trace.get_current_span().set_attribute(GENERATION_ID, generation_id)


def response_marks() -> tuple[tuple[str, str], ...]:
    """Initial metadata that name the current call."""
    marks = get_contextvars()
    if "trace_id" not in marks:
        return ()
    return (TRACE_ID_KEY, marks["trace_id"]), (REQUEST_ID_KEY, marks["request_id"])


def request_info() -> error_details_pb2.RequestInfo | None:
    """The same for the details of an error; None outside of a call."""
    marks = get_contextvars()
    if "trace_id" not in marks:
        return None
    return error_details_pb2.RequestInfo(
        request_id=marks["request_id"], serving_data=marks["trace_id"]
    )
