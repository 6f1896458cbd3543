"""The span of a generation in the program that asks for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from facet.api.v1 import generation_pb2, inference_service_pb2
from facet.client.course import Course
from facet.client.errors import FacetApiError, StreamCorruptedError
from facet.client.tracing import ClientSpan
from tests.support.program_spans import program_spans

pytestmark = pytest.mark.unit

SECRET = "what was asked"
REFUSED = FacetApiError(grpc.StatusCode.RESOURCE_EXHAUSTED, SECRET, reason="QUEUE_FULL")
GONE = FacetApiError(grpc.StatusCode.UNAVAILABLE, SECRET)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with program_spans() as ended:
        yield ended


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    [span] = spans.get_finished_spans()
    return span


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def ids_of(span: ReadableSpan) -> tuple[str, str]:
    context = span.get_span_context()
    assert context is not None
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


def test_a_span_follows_the_conventions_when_it_has_ended(spans: InMemorySpanExporter) -> None:
    ClientSpan("nano").end("g-1")
    span = only(spans)
    assert (span.name, span.kind) == ("chat nano", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    assert attributes_of(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "facet",
        "gen_ai.request.model": "nano",
        "gen_ai.response.id": "g-1",
    }


def test_no_model_is_told_when_none_was_asked_for(spans: InMemorySpanExporter) -> None:
    ClientSpan("").end()
    span = only(spans)
    assert span.name == "chat"
    assert not {"gen_ai.request.model", "gen_ai.response.id"} & attributes_of(span).keys()


@pytest.mark.parametrize("ratio", [1, 0])
def test_the_metadata_name_the_span_when_the_program_traces(ratio: int) -> None:
    with program_spans(ratio) as ended:
        span = ClientSpan("nano")
        [(key, traceparent)] = span.metadata
        span.end()
        version, trace_id, span_id, flags = traceparent.split("-")
        assert (key, version) == ("traceparent", "00")
        assert int(flags, 16) & trace.TraceFlags.SAMPLED == ratio
        assert [ids_of(each) for each in ended.get_finished_spans()] == (
            [(trace_id, span_id)] if ratio else []
        )


def test_the_span_is_a_child_when_the_program_has_one_under_way(
    spans: InMemorySpanExporter,
) -> None:
    with trace.get_tracer("program").start_as_current_span("work"):
        ClientSpan("nano").end()
    ours, work = spans.get_finished_spans()
    assert ours.parent is not None
    assert ours.parent == work.get_span_context()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (REFUSED, "QUEUE_FULL"),
        (GONE, "UNAVAILABLE"),
        (StreamCorruptedError(SECRET), "StreamCorruptedError"),
        (KeyboardInterrupt(SECRET), "KeyboardInterrupt"),
    ],
)
def test_the_reason_is_told_and_nothing_else_when_it_failed(
    spans: InMemorySpanExporter, error: BaseException, told: str
) -> None:
    with pytest.raises(type(error)), ClientSpan("nano"):
        raise error
    span = only(spans)
    assert attributes_of(span)["error.type"] == told
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, told)
    assert SECRET not in span.to_json()


def test_the_first_end_counts_when_there_are_several(spans: InMemorySpanExporter) -> None:
    with ClientSpan("nano") as span:
        span.end("g-1")
        span.end("g-2", GONE)
    told = only(spans)
    assert attributes_of(told)["gen_ai.response.id"] == "g-1"
    assert told.status.status_code is StatusCode.UNSET


def test_there_are_no_metadata_when_the_program_has_no_provider() -> None:
    with ClientSpan("nano") as span:
        assert span.metadata == ()


def test_nothing_is_loaded_when_the_program_does_not_trace(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry.trace")]:
        monkeypatch.delitem(sys.modules, name)
    with ClientSpan("nano") as span:
        assert span.metadata == ()
        span.end("g-1")
    assert "opentelemetry.trace" not in sys.modules
    assert not spans.get_finished_spans()


def test_all_calls_of_a_generation_have_the_same_metadata(spans: InMemorySpanExporter) -> None:
    request = inference_service_pb2.StreamGenerateContentRequest(
        request=generation_pb2.GenerationRequest(model="nano", request_id="r-1")
    )
    course = Course(10, request=request)
    before = course.metadata
    course.state.generation_id = "g-1"
    assert isinstance(course.next_request(), inference_service_pb2.AttachGenerationRequest)
    assert course.metadata == before != ()
    course.ended()
    assert attributes_of(only(spans))["gen_ai.response.id"] == "g-1"


def test_an_attached_generation_is_told_when_nothing_of_it_arrived(
    spans: InMemorySpanExporter,
) -> None:
    Course(10, generation_id="g-1").ended(GONE)
    assert attributes_of(only(spans))["gen_ai.response.id"] == "g-1"
