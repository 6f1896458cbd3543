"""What an attempt tells: spans of its phases, and one timing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_trace_id

from facet.core.errors import EngineFailedError
from facet.core.media_store import MediaHolder
from facet.core.models import NANO
from facet.core.telemetry.timing import Timings
from facet.core.telemetry.tracing import Tracing
from facet.queue.values import Claimed
from facet.worker.attempt import Telling
from facet.worker.engine.port import EngineDeadError
from facet.worker.engine.simulated import SimulatedEngine, SimulatedOptions
from facet.worker.run import Run, Stop
from tests.unit.worker.cutting import begun_run, paced
from tests.unit.worker.scripted import TENANT, Bench, claim, envelope, request, submit

pytestmark = pytest.mark.unit

TRACE_ID = "a" * 32
PARENT_ID = "b" * 16
IDENTITY = {
    "facet.model": "nano",
    "facet.pool": "spot",
    "facet.profile": "nano-cpu",
    "facet.worker": "w-1",
}
PROMPT = "a prompt that nobody else may read"


@dataclass(frozen=True)
class Told:
    """A bench whose attempts tell this test."""

    bench: Bench
    spans: InMemorySpanExporter
    timed: InMemorySpanExporter

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans.get_finished_spans() if span.name == name]

    def attempts(self) -> list[dict[str, Any]]:
        return [dict(span.attributes or {}) for span in self.named("chat nano")]

    def timings(self) -> list[dict[str, Any]]:
        return [dict(span.attributes or {}) for span in self.timed.get_finished_spans()]

    async def claimed(self, name: str, text: str = PROMPT, **fields: object) -> Claimed:
        data = envelope(name, request(text, **fields))
        data.request.model = "nano"
        data.traceparent = f"00-{TRACE_ID}-{PARENT_ID}-01"
        await submit(self.bench.queue, name, data.SerializeToString())
        return await claim(self.bench.queue, f"n-{name}")

    def run(self, claimed: Claimed) -> Run:
        return self.bench.run(claimed)


def telling(told: Bench, *, content: bool = False) -> Told:
    exporters = InMemorySpanExporter(), InMemorySpanExporter()
    tracers = []
    for exporter in exporters:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracers.append(provider.get_tracer("test"))
    whom = Telling(Tracing(tracers[0], records_content=content), Timings(tracers[1]), IDENTITY)
    told.place = replace(told.place, telling=whom)
    return Told(told, *exporters)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    options = SimulatedOptions(step_ms=2, prefill_tokens_per_second=20_000)
    bench = Bench(SimulatedEngine(options, NANO))
    yield bench
    await bench.close()


async def test_phases_are_in_order_under_the_attempt_when_it_finishes(bench: Bench) -> None:
    told = telling(bench)
    await asyncio.wait_for(told.run(await told.claimed("g")).execute(), 10)
    by_name = {span.name: span for span in told.spans.get_finished_spans()}
    assert set(by_name) == {
        *("queue.wait", "claim", "render", "prefill", "decode", "parse"),
        *("log.finish", "chat nano"),
    }
    attempt = by_name["chat nano"]
    assert attempt.context is not None
    for name, span in by_name.items():
        assert span.context is not None
        assert span.parent is not None
        assert format_trace_id(span.context.trace_id) == TRACE_ID
        of_request = name in ("chat nano", "queue.wait")
        expected = int(PARENT_ID, 16) if of_request else attempt.context.span_id
        assert span.parent.span_id == expected
    order = ("queue.wait", "render", "prefill", "decode", "log.finish")
    starts = [by_name[name].start_time or 0 for name in order]
    ends = [by_name[name].end_time or 0 for name in order]
    assert starts == sorted(starts)
    # To a millisecond: ends are on the monotonic clock, some starts on that of the day.
    assert all(end <= start + 1e6 for end, start in zip(ends, starts[1:], strict=False))
    assert ends[-1] <= (attempt.end_time or 0)


async def test_the_attempt_says_what_it_took_when_it_finishes(bench: Bench) -> None:
    told = telling(bench)
    config = {"temperature": 0.5, "maxOutputTokens": 12, "minOutputTokens": 12}
    claimed = await told.claimed("g", generationConfig=config, sessionId="talk")
    await asyncio.wait_for(told.run(claimed).execute(), 10)
    (attempt,) = told.attempts()
    assert attempt["gen_ai.operation.name"] == "chat"
    assert attempt["gen_ai.request.model"] == "nano"
    assert attempt["gen_ai.request.temperature"] == 0.5
    assert attempt["gen_ai.request.max_tokens"] == 12
    assert attempt["gen_ai.conversation.id"] == "talk"
    assert attempt["gen_ai.response.id"] == "g"
    assert attempt["gen_ai.response.finish_reasons"] == ("max_tokens",)
    assert attempt["gen_ai.usage.output_tokens"] == 12
    assert attempt["gen_ai.usage.input_tokens"] > len(PROMPT)
    assert (attempt["facet.attempt"], attempt["facet.outcome"]) == (1, "OK")
    assert attempt["facet.pool"] == "spot"
    (decode,) = told.named("decode")
    assert decode.attributes is not None
    assert decode.attributes["facet.output_tokens"] == 12
    (prefill,) = told.named("prefill")
    measured: Any = dict(prefill.attributes or {})
    assert measured["facet.engine.prefill_seconds"] > 0


async def test_timing_is_what_the_engine_took_when_an_attempt_finishes(bench: Bench) -> None:
    told = telling(bench)
    config = {"maxOutputTokens": 40, "minOutputTokens": 40}
    await asyncio.wait_for(
        told.run(await told.claimed("g", "x" * 1000, generationConfig=config)).execute(), 10
    )
    (timing,) = told.timings()
    assert {name: timing[name] for name in IDENTITY} == IDENTITY
    assert timing["facet.prompt_tokens.text"] > 1000
    assert [timing[f"facet.prompt_tokens.{kind}"] for kind in ("image", "audio", "video")] == [
        0
    ] * 3
    # 1000 tokens at 20,000 a second and one step of 2 ms; a busy machine may take longer.
    assert 0.05 <= timing["facet.prefill_seconds"] < 0.5
    assert timing["facet.output_tokens"] == 40
    assert timing["facet.steps"] >= 10
    assert timing["facet.decode_seconds"] >= (timing["facet.steps"] - 1) * 0.002
    assert timing["facet.drafted_tokens"] == 3 * (timing["facet.steps"] - 1)
    assert timing["facet.accepted_tokens"] == 40 - timing["facet.steps"]
    assert timing["facet.batch_size"] == pytest.approx(1, abs=0.05)
    assert timing["facet.outcome"] == "OK"
    (span,) = told.timed.get_finished_spans()
    assert span.name == "facet.timing"
    assert format_trace_id(span.get_span_context().trace_id) == TRACE_ID  # type: ignore[union-attr]


async def test_batch_size_is_the_mean_when_several_are_in_the_engine(bench: Bench) -> None:
    told = telling(bench)
    config = {"maxOutputTokens": 60, "minOutputTokens": 60}
    runs = [told.run(await told.claimed(f"g-{n}", generationConfig=config)) for n in range(4)]
    await asyncio.wait_for(asyncio.gather(*(run.execute() for run in runs)), 20)
    assert [t["facet.batch_size"] for t in told.timings()] == pytest.approx([4] * 4, abs=1)


async def test_media_are_counted_when_a_request_has_some(bench: Bench) -> None:
    told = telling(bench)
    holder = MediaHolder("g", TENANT, 0)
    await bench.media.put("key", b"picture", life_seconds=60, holder=holder)
    data = envelope("g", request())
    data.request.model = "nano"
    data.request.contents[0].parts.add().media.media_id = "key"
    data.media.add(key="key", mime_type="image/png", sha256=b"\1" * 32, size_bytes=7)
    await submit(bench.queue, "g", data.SerializeToString())
    await asyncio.wait_for(told.run(await claim(bench.queue, "n")).execute(), 10)
    (fetch,) = told.named("media.fetch")
    assert dict(fetch.attributes or {}) == {"facet.media.count": 1, "facet.media.bytes": 7}
    assert told.timings()[0]["facet.prompt_tokens.image"] == 70


async def test_both_attempts_are_in_one_trace_when_the_second_resumes() -> None:
    bench = Bench()
    told = telling(bench)
    made = request(generationConfig={"minOutputTokens": 30})
    first = await begun_run(bench, "g", made, 5)
    first.run.stop(Stop.HAND_BACK)
    await asyncio.wait_for(first.task, 10)
    await bench.queue.hand_back([first.run.claimed.lease])
    paced(bench).allow(1_000)
    await asyncio.wait_for(told.run(await claim(bench.queue, "then")).execute(), 10)
    attempts = [dict(s.attributes or {}) for s in told.named("chat ")]
    assert [(a["facet.attempt"], a["facet.outcome"]) for a in attempts] == [
        (1, "HANDED_BACK"),
        (2, "OK"),
    ]
    assert [a["facet.resumed_tokens"] for a in attempts] == [0, 5]
    before, after = told.timings()
    assert (before["facet.output_tokens"], before["facet.outcome"]) == (5, "HANDED_BACK")
    # What the first attempt made is prefilled again.
    assert after["facet.prompt_tokens.text"] == before["facet.prompt_tokens.text"] + 5
    assert len(told.named("queue.wait")) == 1
    await bench.close()


async def test_the_attempt_is_an_error_without_a_message_when_the_engine_fails() -> None:
    bench = Bench()
    told = telling(bench)
    run = told.run(await told.claimed("g"))
    paced(bench).error = EngineFailedError("what the model said")
    paced(bench).allow(1)
    await asyncio.wait_for(run.execute(), 10)
    (span,) = told.named("chat nano")
    assert span.status.description == "ENGINE_FAILED"
    assert dict(span.attributes or {})["error.type"] == "ENGINE_FAILED"
    assert "what the model said" not in span.to_json()
    assert told.timings() == []
    await bench.close()


async def test_the_attempt_says_so_when_the_engine_dies_with_it() -> None:
    bench = Bench()
    told = telling(bench)
    run = told.run(await told.claimed("g"))
    paced(bench).error = EngineDeadError("gone")
    paced(bench).allow(1)
    with pytest.raises(EngineDeadError):
        await asyncio.wait_for(run.execute(), 10)
    (span,) = told.named("chat nano")
    assert span.status.description == "ENGINE_DIED"
    await bench.close()


async def test_a_new_trace_begins_when_the_envelope_cannot_be_read(bench: Bench) -> None:
    told = telling(bench)
    await submit(bench.queue, "g", b"\xff")
    await asyncio.wait_for(told.run(await claim(bench.queue, "n")).execute(), 10)
    (span,) = told.named("chat ")
    assert span.status.description == "DEAD_LETTERED"
    assert dict(span.attributes or {})["gen_ai.response.id"] == "g"


@pytest.mark.parametrize("content", [False, True])
async def test_content_is_recorded_when_and_only_when_that_is_on(
    bench: Bench, content: bool
) -> None:
    told = telling(bench, content=content)
    claimed = await told.claimed("g", systemInstruction={"parts": [{"text": "be brief"}]})
    await asyncio.wait_for(told.run(claimed).execute(), 10)
    recorded = "".join(span.to_json() for span in told.spans.get_finished_spans())
    assert (PROMPT in recorded) is content
    assert ("be brief" in recorded) is content
    (attempt,) = told.attempts()
    assert ("gen_ai.output.messages" in attempt) is content
    if content:
        assert '"content": ""' not in attempt["gen_ai.output.messages"]


async def test_the_document_names_every_span_and_attribute(bench: Bench) -> None:
    document = (Path(__file__).parents[3] / "docs" / "tracing.md").read_text()
    told = telling(bench)
    await asyncio.wait_for(told.run(await told.claimed("g")).execute(), 10)
    spans = [*told.spans.get_finished_spans(), *told.timed.get_finished_spans()]
    for span in spans:
        assert span.name.replace("nano", "MODEL") in document
        for name in span.attributes or {}:
            short = name if name.startswith("facet.") else "." + name.split(".", 2)[-1]
            assert f"`{name}`" in document or f"`{short}`" in document, name
