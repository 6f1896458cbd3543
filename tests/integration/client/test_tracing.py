"""One generation is one span of the program, whose trace the gateway continues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import facet
from facet.client.course import Course
from tests.integration.client.fake_gateway import GENERATION_ID, Break, FakeGateway
from tests.integration.client.surface import Surface, connected
from tests.support.program_spans import program_spans

pytestmark = pytest.mark.integration

CALLS: dict[str, Callable[[Surface], Awaitable[Any]]] = {
    "stream": lambda surface: surface.result(model="nano"),
    "generate": lambda surface: surface.call("generate", "hello", model="nano"),
    "submit": lambda surface: surface.call("submit", "hello", model="nano"),
}


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with program_spans() as ended:
        yield ended


@pytest.fixture(params=["sync", "async"])
async def surface(request: pytest.FixtureRequest, gateway: FakeGateway) -> AsyncIterator[Surface]:
    gateway.say("he", "llo")
    async with connected(request.param, gateway.address) as client:
        yield client


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def traceparent_of(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    trace_id, span_id = (
        trace.format_trace_id(context.trace_id),
        trace.format_span_id(context.span_id),
    )
    return f"00-{trace_id}-{span_id}-{context.trace_flags:02x}"


@pytest.mark.parametrize("name", CALLS)
async def test_the_gateway_gets_the_span_as_parent_when_the_program_traces(
    surface: Surface, gateway: FakeGateway, spans: InMemorySpanExporter, name: str
) -> None:
    await CALLS[name](surface)
    [span] = spans.get_finished_spans()
    assert gateway.metadata["traceparent"] == traceparent_of(span)
    assert span.name == "chat nano"
    assert span.status.status_code is StatusCode.UNSET
    assert attributes_of(span)["gen_ai.response.id"] == GENERATION_ID


async def test_all_calls_are_one_span_when_a_stream_breaks(
    surface: Surface, gateway: FakeGateway, spans: InMemorySpanExporter
) -> None:
    gateway.breaks.extend([Break(None), Break(1), Break(2)])
    await surface.result()
    [span] = spans.get_finished_spans()
    assert len(gateway.attached) == 2
    assert gateway.metadata["traceparent"] == traceparent_of(span)
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("name", CALLS)
async def test_the_reason_is_told_when_the_gateway_refuses(
    surface: Surface, gateway: FakeGateway, spans: InMemorySpanExporter, name: str
) -> None:
    gateway.refusal = "QUEUE_FULL"
    with pytest.raises(facet.FacetApiError):
        await CALLS[name](surface)
    [span] = spans.get_finished_spans()
    assert attributes_of(span)["error.type"] == span.status.description == "QUEUE_FULL"
    assert span.status.status_code is StatusCode.ERROR


async def test_a_broken_promise_is_told_when_the_stream_has_no_end(
    surface: Surface, gateway: FakeGateway, spans: InMemorySpanExporter
) -> None:
    gateway.events.pop()
    with pytest.raises(facet.StreamCorruptedError):
        await surface.result()
    [span] = spans.get_finished_spans()
    assert attributes_of(span)["error.type"] == "StreamCorruptedError"
    assert span.status.status_code is StatusCode.ERROR


async def test_the_span_ends_without_an_error_when_the_stream_is_left(
    surface: Surface, spans: InMemorySpanExporter
) -> None:
    await surface.first_event()
    [span] = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.UNSET
    assert attributes_of(span)["gen_ai.response.id"] == GENERATION_ID


async def test_nothing_is_sent_when_the_program_does_not_trace(
    surface: Surface, gateway: FakeGateway
) -> None:
    await surface.result()
    assert "traceparent" not in gateway.metadata


async def test_the_span_ends_when_a_reader_is_cancelled_between_two_calls(
    gateway: FakeGateway, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_between = asyncio.Event()

    def wait_long(*_: object, **__: object) -> float:
        is_between.set()
        return 60.0

    monkeypatch.setattr(Course, "delay_seconds_after", wait_long)
    gateway.breaks.append(Break(0))
    async with facet.AsyncClient(gateway.address) as client:
        stream = client.stream("hello")
        reader = asyncio.create_task(stream.result())
        await asyncio.wait_for(is_between.wait(), 10)

        reader.cancel()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(reader, 10)
        [span] = spans.get_finished_spans()
    assert attributes_of(span)["gen_ai.response.id"] == GENERATION_ID
