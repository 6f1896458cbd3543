"""Timing spans at a bounded rate."""

from __future__ import annotations

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from facet.core.telemetry.timing import SPAN_NAME, Timings, TokenBucket

pytestmark = pytest.mark.unit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_the_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(10, 3, clock)
    assert [bucket.takes() for _ in range(5)] == [True, True, True, False, False]
    clock.now += 0.25
    assert [bucket.takes() for _ in range(4)] == [True, True, False, False]
    clock.now += 3600
    assert sum(bucket.takes() for _ in range(10)) == 3


def test_what_is_above_the_rate_is_counted_and_not_sent() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    timings = Timings(provider.get_tracer("test"), TokenBucket(1, 2, Clock()))
    for number in range(5):
        timings.tell({"facet.steps": number}, Context(), start_ns=1, end_ns=2)
    sent = exporter.get_finished_spans()
    assert [(span.name, dict(span.attributes or {})) for span in sent] == [
        (SPAN_NAME, {"facet.steps": 0}),
        (SPAN_NAME, {"facet.steps": 1}),
    ]
    assert timings.dropped == 3
    provider.shutdown()


def test_nothing_is_counted_when_nobody_is_told() -> None:
    timings = Timings(None, TokenBucket(1, 1, Clock()))
    for _ in range(3):
        timings.tell({}, Context(), start_ns=1, end_ns=2)
    assert (timings.is_on, timings.dropped) == (False, 0)
