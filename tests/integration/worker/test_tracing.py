"""One trace through client, gateway, queue and workers, as a collector receives it."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import facet
from facet.api.v1 import inference_service_pb2 as pb
from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from facet.core.telemetry.exporting import STOP_SECONDS, batching, exporter_to, stop_batching
from tests.integration.gateway.gateway_process import gateway_process
from tests.integration.worker.worker_process import WorkerProcess, ready
from tests.support.otlp_receiver import Receiver, otlp_receiver, silent_receiver
from tests.support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.integration

PROMPT = f"a prompt that nobody else may read {secrets.token_hex(4)}"
TRACE_ID = "c" * 32
CALLER = ("traceparent", f"00-{TRACE_ID}-{'d' * 16}-01")
UNSAMPLED = ("traceparent", f"00-{TRACE_ID}-{'d' * 16}-00")

Start = Callable[..., WorkerProcess]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as started:
        yield started


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


class Served:
    """A gateway whose spans go to `endpoint`, and a client's channel."""

    def __init__(self, stack: AsyncExitStack, redis: RedisServer, release: str) -> None:
        self._stack = stack
        self._redis = redis
        self._release = release
        self.address = ""
        self.channel: grpc.aio.Channel

    async def start(self, endpoint: str, **settings: object) -> None:
        process = await self._stack.enter_async_context(
            gateway_process(self._redis.url, self._release, trace_endpoint=endpoint, **settings)
        )
        self.address, self.channel = process.address, process.channel

    def stream(self, text: str, *metadata: tuple[str, str], **fields: Any) -> Any:
        inference: Any = InferenceServiceStub(self.channel)
        request = pb.StreamGenerateContentRequest()
        request.request.contents.add().parts.add(text=text)
        for name, value in fields.items():
            setattr(request.request, name, value)
        return inference.StreamGenerateContent(request, metadata=metadata, timeout=60)


@pytest.fixture
def served(stack: AsyncExitStack, redis_server: RedisServer, release: str) -> Served:
    return Served(stack, redis_server, release)


async def received(receiver: Receiver, *names: str) -> None:
    """Return when spans of these names arrived."""
    await asyncio.to_thread(receiver.wait, lambda: set(names) <= receiver.names())


async def test_one_trace_covers_client_gateway_and_both_workers_when_one_is_killed(
    receiver: Receiver, served: Served, start_worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"trace_endpoint": receiver.address, "timing_endpoint": receiver.address}
    await served.start(receiver.address)
    first = start_worker(name="w-1", simulated_step_ms=400, **settings)
    await ready(first)
    processor = batching(exporter_to(receiver.address))
    provider = TracerProvider(resource=Resource({"service.name": "client"}), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    # What `trace.set_tracer_provider` does, for this test alone.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    async with facet.AsyncClient(served.address) as client:
        stream = client.stream(PROMPT, temperature=0, min_output_tokens=60, max_output_tokens=60)
        async for _ in stream:
            if "prefill" in receiver.names():
                break
        second = start_worker(name="w-2", simulated_step_ms=1, **settings)
        await ready(second)
        first.send(signal.SIGKILL)
        result = await asyncio.wait_for(stream.result(), 60)
    await stop_batching(processor)
    await received(receiver, "deliver", "facet.v1.InferenceService/StreamGenerateContent")
    await asyncio.to_thread(
        receiver.wait, lambda: any(s.instance == "w-2" and s.kind == 5 for s in receiver.spans)
    )
    await received(receiver, "facet.timing")

    assert result.usage.output_tokens == 60
    (root,) = [span for span in receiver.spans if span.service == "client"]
    by_service = {span.service: span.trace_id for span in receiver.spans}
    assert by_service == dict.fromkeys(("client", "facet-gateway", "facet-worker"), root.trace_id)
    assert {span.trace_id for span in receiver.spans} == {root.trace_id}
    assert {s.instance for s in receiver.spans if s.name == "prefill"} == {"w-1", "w-2"}
    (call,) = receiver.named("facet.v1.InferenceService/StreamGenerateContent")
    (submit,) = receiver.named("submit")
    (attempt,) = [span for span in receiver.spans if span.name == "chat nano" and span.kind == 5]
    assert (call.parent_id, submit.parent_id) == (root.span_id, call.span_id)
    assert (attempt.parent_id, attempt.instance) == (submit.span_id, "w-2")
    assert attempt.attributes["facet.attempt"] == 2
    assert attempt.attributes["facet.resumed_tokens"] > 0
    (timing,) = receiver.named("facet.timing")
    assert timing.attributes["facet.worker"] == "w-2"
    assert timing.trace_id == root.trace_id


async def test_a_request_without_a_worker_error_or_sample_leaves_no_spans_and_a_failed_one_does(
    receiver: Receiver, served: Served, start_worker: Start
) -> None:
    await served.start(receiver.address)
    worker = start_worker(trace_endpoint=receiver.address)
    await ready(worker)
    good = [response async for response in served.stream(PROMPT, UNSAMPLED)]
    assert good
    with pytest.raises(grpc.aio.AioRpcError):
        async for _ in served.stream(f"{PROMPT} [[fail@3]]", UNSAMPLED):
            pass
    call = "facet.v1.InferenceService/StreamGenerateContent"
    await received(receiver, call, "chat nano", "deliver", "prefill")
    assert [span.is_error for span in receiver.named(call)] == [True]
    (attempt,) = receiver.named("chat nano")
    assert attempt.attributes["error.type"] == "ENGINE_FAILED"
    assert {span.trace_id for span in receiver.spans} == {TRACE_ID}


async def test_answer_error_and_logs_name_the_call_when_it_is_traced_or_not(
    served: Served, start_worker: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    await served.start("")
    worker = start_worker()
    await ready(worker)
    call = served.stream(PROMPT, CALLER, request_id="mine")
    assert [response async for response in call]
    sent = dict(await call.initial_metadata())
    assert (sent["facet-trace-id"], sent["facet-request-id"]) == (TRACE_ID, "mine")

    failed = served.stream(f"{PROMPT} [[fail@0]]")
    with pytest.raises(grpc.aio.AioRpcError):
        async for _ in failed:
            pass
    sent = dict(await failed.initial_metadata())
    trailers = dict(await failed.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.RequestInfo()
    assert status.details[-1].Unpack(info)
    assert (info.request_id, info.serving_data) == (
        sent["facet-request-id"],
        sent["facet-trace-id"],
    )
    assert info.serving_data not in ("", "0" * 32, TRACE_ID)

    lines = [json.loads(line) for line in worker.log_file.read_text().splitlines()]
    (line,) = [line for line in lines if line["event"] == "run.failed"]
    assert line["trace_id"] == info.serving_data
    assert line["generation_id"] == sent["facet-generation-id"]


async def test_the_call_is_named_when_it_is_refused_or_no_generation(
    served: Served, stack: AsyncExitStack
) -> None:
    await served.start("")
    refused = served.stream("")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in refused:
            pass
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    trailers = dict(caught.value.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.RequestInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert len(info.serving_data) == 32
    inference: Any = InferenceServiceStub(served.channel)
    listing = inference.ListGenerations(pb.ListGenerationsRequest(), metadata=(CALLER,))
    await listing
    assert dict(await listing.initial_metadata())["facet-trace-id"] == TRACE_ID
    client = await stack.enter_async_context(facet.AsyncClient(served.address))
    with pytest.raises(facet.FacetApiError) as told:
        await client.cancel("g-0-unknown")
    assert len(told.value.trace_id) == 32


async def test_the_prompt_is_in_no_span_and_no_log_when_content_is_off(
    receiver: Receiver,
    served: Served,
    start_worker: Start,
    capfd: pytest.CaptureFixture[str],
) -> None:
    await served.start(receiver.address, log_level="DEBUG")
    told = {"trace_endpoint": receiver.address, "timing_endpoint": receiver.address}
    worker = start_worker(log_level="DEBUG", **told)
    await ready(worker)
    answers = [response async for response in served.stream(PROMPT)]
    for fault in ("[[fail@1]]", "\x00"):
        with pytest.raises(grpc.aio.AioRpcError):
            async for _ in served.stream(PROMPT + fault, adapter="x" if fault == "\x00" else ""):
                pass
    await received(receiver, "chat nano", "deliver", "facet.timing")
    logs = worker.log_file.read_text() + capfd.readouterr().err
    assert "run.failed" in logs
    assert answers
    assert PROMPT not in logs
    assert receiver.requests
    assert PROMPT not in receiver.raw


async def test_the_prompt_is_in_spans_when_content_is_on(
    receiver: Receiver, served: Served, start_worker: Start
) -> None:
    await served.start(receiver.address)
    worker = start_worker(trace_endpoint=receiver.address, trace_content=True)
    await ready(worker)
    assert [response async for response in served.stream(PROMPT)]
    await received(receiver, "chat nano")
    assert PROMPT in receiver.raw
    assert PROMPT not in worker.log_file.read_text()


@pytest.fixture(params=["silent", "away"])
def bad_endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "away":
        yield f"127.0.0.1:{free_port()}"
        return
    with silent_receiver() as address:
        yield address


async def test_requests_go_on_when_the_collector_hangs_or_is_away(
    bad_endpoint: str, served: Served, start_worker: Start
) -> None:
    await served.start(bad_endpoint)
    worker = start_worker(
        trace_endpoint=bad_endpoint, timing_endpoint=bad_endpoint, simulated_step_ms=0
    )
    await ready(worker)
    assert [response async for response in served.stream(PROMPT)]

    async def one(number: int) -> float:
        began = time.monotonic()
        assert [response async for response in served.stream(f"{PROMPT} {number}")]
        return time.monotonic() - began

    took = [await one(number) for number in range(20)]
    # None of them waited for the exporter, whose first failure takes seconds.
    assert max(took) < 2
    assert sorted(took)[10] < 0.5
    worker.send(signal.SIGTERM)
    began = time.monotonic()
    async with asyncio.timeout(20):
        while worker.exit_code is None:  # noqa: ASYNC110 - nothing tells of a process's end
            await asyncio.sleep(0.05)
    assert worker.exit_code == 0, worker.log_file.read_text()
    assert time.monotonic() - began < 3 + 2 * STOP_SECONDS


async def test_the_oldest_spans_give_way_when_the_collector_hangs() -> None:
    with silent_receiver() as address:
        processor = batching(exporter_to(address))
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        tracer = provider.get_tracer("test")
        took = []
        for _ in range(3 * 10_000):
            began = time.monotonic()
            tracer.start_span("span", Context()).end()
            took.append(time.monotonic() - began)
        # The queue is full in each third; a machine that stands still does so in one.
        assert min(max(took[at : at + 10_000]) for at in (0, 10_000, 20_000)) < 0.5
        began = time.monotonic()
        await stop_batching(processor)
        assert time.monotonic() - began < STOP_SECONDS + 1


async def test_the_level_of_a_running_gateway_follows_its_file(
    redis_server: RedisServer, release: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "level"
    async with gateway_process(
        redis_server.url, release, log_level="ERROR", log_level_file=str(file)
    ):
        file.write_text("DEBUG")
        logged = ""
        async with asyncio.timeout(10):
            while not (lines := _events(logged, "log.level")):
                logged += capfd.readouterr().err
                await asyncio.sleep(0.05)
    assert [line["least"] for line in lines] == ["DEBUG"]
    assert not _events(logged, "settings")


def _events(logged: str, event: str) -> list[dict[str, Any]]:
    """The whole lines of an event; libraries of this process may write others."""
    *whole, _ = logged.split("\n")
    lines = [json.loads(line) for line in whole if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


async def test_metrics_point_at_the_trace_when_openmetrics_is_asked_for(
    receiver: Receiver, served: Served, start_worker: Start
) -> None:
    of_gateway, of_worker = (f"127.0.0.1:{free_port()}" for _ in range(2))
    await served.start(receiver.address, metrics_listen=of_gateway)
    worker = start_worker(trace_endpoint=receiver.address, metrics_listen=of_worker)
    await ready(worker)
    assert [response async for response in served.stream(PROMPT, CALLER)]
    await received(receiver, "chat nano")
    accepted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    for address, name in (
        (of_gateway, "facet_gateway_time_to_first_token_seconds"),
        (of_worker, "facet_worker_attempt_seconds"),
    ):
        page = await asyncio.to_thread(_page, address, accepted)
        told = [line for line in page.splitlines() if line.startswith(f"{name}_bucket")]
        assert any(f'trace_id="{TRACE_ID}"' in line.partition(" # ")[2] for line in told), told
        plain = await asyncio.to_thread(_page, address, {})
        assert TRACE_ID not in plain


def _page(address: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(f"http://{address}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        page: str = answer.read().decode()
    return page
