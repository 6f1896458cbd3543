"""What is kept of a trace, and whose child a span is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import AlwaysRecordSampler, ParentBasedTraceIdRatio
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

from facet.core.errors import EngineFailedError, FacetError, InvalidRequestError, QueueFullError
from facet.core.telemetry import kept_errors
from facet.core.telemetry.kept_errors import KeptErrors, _Held
from facet.core.telemetry.trace_context import (
    carried,
    context_of,
    current_exemplar,
    trace_id_of,
)
from facet.core.telemetry.tracing import UNTRACED, Tracing, as_current, fail

pytestmark = pytest.mark.unit

TRACE_ID = "a" * 32
UNSAMPLED = f"00-{TRACE_ID}-{'b' * 16}-00"
SAMPLED = f"00-{TRACE_ID}-{'b' * 16}-01"


class Kept:
    """A tracing whose kept spans stay here."""

    def __init__(self, ratio: float) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider(
            sampler=AlwaysRecordSampler(ParentBasedTraceIdRatio(ratio)), shutdown_on_exit=False
        )
        self._provider.add_span_processor(KeptErrors(SimpleSpanProcessor(self._exporter)))
        self.tracing = Tracing(self._provider.get_tracer("test"))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        return sorted(span.name for span in self.spans)

    def close(self) -> None:
        self._provider.shutdown()


@pytest.fixture
def none_kept() -> Iterator[Kept]:
    kept = Kept(0)
    yield kept
    kept.close()


@pytest.fixture
def all_kept() -> Iterator[Kept]:
    kept = Kept(1)
    yield kept
    kept.close()


def call(tracing: Tracing, parent: Context, error: FacetError | None = None) -> None:
    """A root with two phases, the first of which fails."""
    root = tracing.local_root("call", parent, kind=SpanKind.SERVER)
    within = set_span_in_context(root, Context())
    first, second = tracing.span("first", within), tracing.span("second", within)
    if error is not None:
        fail(first, error)
    first.end()
    second.end()
    root.end()


def test_nothing_is_kept_when_the_head_did_not_sample(none_kept: Kept) -> None:
    call(none_kept.tracing, Context())
    assert none_kept.names == []


def test_all_of_the_call_is_kept_as_sampled_when_a_part_of_it_failed(none_kept: Kept) -> None:
    call(none_kept.tracing, context_of([("traceparent", UNSAMPLED)]), EngineFailedError("why"))
    call(none_kept.tracing, context_of([("traceparent", UNSAMPLED)]))
    assert none_kept.names == ["call", "first", "second"]
    assert {trace_id_of(span) for span in none_kept.spans} == {TRACE_ID}  # type: ignore[arg-type]
    assert all(span.context is not None for span in none_kept.spans)
    assert all(span.get_span_context().trace_flags.sampled for span in none_kept.spans)  # type: ignore[union-attr]


@pytest.mark.parametrize("error", [InvalidRequestError("x"), QueueFullError("x")])
def test_nothing_is_kept_when_the_caller_was_refused(none_kept: Kept, error: FacetError) -> None:
    call(none_kept.tracing, Context(), error)
    assert none_kept.names == []


def test_a_failed_root_is_kept_alone_when_it_has_more_parts_than_are_held(
    none_kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_errors, "MAX_SPANS", 2)
    call(none_kept.tracing, Context(), EngineFailedError("x"))
    assert none_kept.names == ["call", "first"]


def test_the_oldest_are_given_up_when_more_are_under_way_than_are_held(
    none_kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_errors, "MAX_OPEN", 3)
    roots = [
        none_kept.tracing.local_root(f"root-{number}", Context(), kind=SpanKind.SERVER)
        for number in range(9)
    ]
    for span in roots:
        fail(span, EngineFailedError("x"))
        span.end()
    assert none_kept.names == ["root-6", "root-7", "root-8"]


def test_errors_are_kept_when_other_spans_never_end(
    none_kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_errors, "MAX_OPEN", 4)
    for _ in range(9):
        none_kept.tracing.local_root("open root", Context(), kind=SpanKind.SERVER)
    for _ in range(9):
        root = none_kept.tracing.local_root("root", Context(), kind=SpanKind.SERVER)
        none_kept.tracing.span("open part", set_span_in_context(root, Context()))
        root.end()
    call(none_kept.tracing, Context(), EngineFailedError("x"))
    assert none_kept.names == ["call", "first", "second"]


def test_a_root_is_given_up_whole_when_it_alone_has_more_open_parts_than_are_held(
    none_kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_errors, "MAX_OPEN", 3)
    root = none_kept.tracing.local_root("root", Context(), kind=SpanKind.SERVER)
    within = set_span_in_context(root, Context())
    for span in [*(none_kept.tracing.span("part", within) for _ in range(5)), root]:
        fail(span, EngineFailedError("x"))
        span.end()
    assert none_kept.names == []
    call(none_kept.tracing, Context(), EngineFailedError("x"))
    assert none_kept.names == ["call", "first", "second"]


def test_a_part_is_left_out_when_it_ends_after_its_root(none_kept: Kept) -> None:
    root = none_kept.tracing.local_root("root", Context(), kind=SpanKind.SERVER)
    part = none_kept.tracing.span("part", set_span_in_context(root, Context()))
    fail(root, EngineFailedError("x"))
    root.end()
    fail(part, EngineFailedError("x"))
    part.end()
    assert none_kept.names == ["root"]


def test_no_more_is_kept_than_is_held_when_parts_end_in_several_threads(
    none_kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_errors, "MAX_SPANS", 2)

    class Slow(list[ReadableSpan]):
        """Lets other threads go on between a look at its length and what follows."""

        def __len__(self) -> int:
            length = super().__len__()
            time.sleep(0.02)
            return length

    monkeypatch.setattr(kept_errors, "_Held", lambda: _Held(spans=Slow()))
    root = none_kept.tracing.local_root("root", Context(), kind=SpanKind.SERVER)
    within = set_span_in_context(root, Context())
    parts = [none_kept.tracing.span("part", within) for _ in range(8)]
    threads = [threading.Thread(target=part.end) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fail(root, EngineFailedError("x"))
    root.end()
    assert none_kept.names == ["part", "root"]


def test_the_callers_decision_holds_when_it_sampled(none_kept: Kept) -> None:
    call(none_kept.tracing, context_of([("traceparent", SAMPLED)]))
    assert none_kept.names == ["call", "first", "second"]


def test_the_callers_decision_holds_when_it_did_not_sample(all_kept: Kept) -> None:
    call(all_kept.tracing, context_of([("traceparent", UNSAMPLED)]))
    call(all_kept.tracing, Context())
    assert all_kept.names == ["call", "first", "second"]
    assert TRACE_ID not in {trace_id_of(span) for span in all_kept.spans}  # type: ignore[arg-type]


def test_the_message_of_an_error_stays_out_of_its_span(all_kept: Kept) -> None:
    with (
        pytest.raises(EngineFailedError),
        all_kept.tracing.phase("phase", Context()),
    ):
        raise EngineFailedError("what the model said")
    with pytest.raises(KeyError), all_kept.tracing.phase("other", Context()):
        raise KeyError("what the model said")
    first, _ = all_kept.spans
    assert (first.status.status_code, first.status.description) == (
        StatusCode.ERROR,
        "ENGINE_FAILED",
    )
    assert "what the model said" not in "".join(span.to_json() for span in all_kept.spans)


@pytest.mark.parametrize(
    "traceparent",
    ["", "nonsense", SAMPLED + "0", f"ff-{SAMPLED[3:]}", f"00-{'0' * 32}-{'b' * 16}-01", b"\0"],
)
@pytest.mark.parametrize("ratio", [None, 1.0])
def test_a_new_trace_begins_when_the_context_is_missing_or_malformed(
    traceparent: str | bytes, ratio: float | None
) -> None:
    kept = Kept(ratio) if ratio is not None else None
    tracing = kept.tracing if kept else UNTRACED
    parent = context_of([("traceparent", traceparent), ("tracestate", "v=1")])
    root = tracing.local_root("call", parent, kind=SpanKind.SERVER)
    assert trace_id_of(root) not in ("0" * 32, TRACE_ID)
    assert carried(root)[1] == ""
    root.end()
    if kept:
        kept.close()


def test_context_passes_unchanged_when_nothing_is_traced() -> None:
    parent = context_of([("traceparent", SAMPLED), ("tracestate", "v=1"), ("other", "x")])
    root = UNTRACED.local_root("call", parent, kind=SpanKind.SERVER)
    part = UNTRACED.span("part", set_span_in_context(root, Context()))
    assert carried(root) == carried(part) == (SAMPLED, "v=1")


def test_tracestate_is_carried_on_when_spans_are_made(all_kept: Kept) -> None:
    parent = context_of([("traceparent", SAMPLED), ("tracestate", "v=1")])
    root = all_kept.tracing.local_root("call", parent, kind=SpanKind.SERVER)
    traceparent, tracestate = carried(root)
    assert (traceparent.split("-")[1], tracestate) == (TRACE_ID, "v=1")
    assert traceparent.split("-")[2] != "b" * 16
    root.end()


def test_an_exemplar_names_the_span_when_it_is_kept(all_kept: Kept, none_kept: Kept) -> None:
    assert current_exemplar() is None
    span = all_kept.tracing.span("kept", Context())
    with as_current(span):
        exemplar = current_exemplar()
    assert exemplar == {"trace_id": trace_id_of(span), "span_id": carried(span)[0].split("-")[2]}
    assert sum(map(len, [*exemplar, *exemplar.values()])) <= 128
    with as_current(none_kept.tracing.span("dropped", Context())):
        assert current_exemplar() is None
