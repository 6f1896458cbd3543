"""The trace of a request whose real vLLM worker is killed in the middle of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import facet
from facet.client import GenerateOptions, Resumed, Started, TextDelta
from facet.core.telemetry.exporting import exporter_to
from facet.queue.redis_queue import RedisQueue
from tests.support.conditions import until
from tests.support.otlp_receiver import ReceivedSpan, Receiver
from tests.support.running_node import RunningNode

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PROMPT = "Repeat river 10 times."
TOKENS = 2000
CONSUMER = 5


@pytest.fixture
def traced_program(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This test is a program with a tracer provider."""
    provider = TracerProvider(resource=Resource({"service.name": "client"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter_to(receiver.address)))
    # What `trace.set_tracer_provider` does, for this test alone.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield
    provider.shutdown()


class Arrived:
    """The spans that begin from here on; those of other tests' requests may still arrive."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._since_ns = time.time_ns()

    @property
    def spans(self) -> list[ReceivedSpan]:
        return [span for span in self._receiver.spans if span.start_ns >= self._since_ns]

    def named(self, name: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.name == name]

    def attempts(self) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.kind == CONSUMER]

    async def wait(self, condition: Callable[[], bool]) -> None:
        await asyncio.to_thread(self._receiver.wait, condition)


async def _stream_whose_worker_is_killed(
    node: RunningNode, stream: facet.AsyncStream, arrived: Arrived
) -> tuple[str, str]:
    """The names of the worker that was killed and of the one that went on."""
    killed = resumed_by = ""
    async for event in stream:
        if isinstance(event, Started):
            killed = event.worker
        if isinstance(event, TextDelta):
            break
    # Spans leave once a second; the answer takes longer.
    await arrived.wait(lambda: bool(arrived.named("prefill")))
    os.kill(node.state(killed)["pid"], signal.SIGKILL)
    async for event in stream:
        if isinstance(event, Resumed):
            resumed_by = event.worker
    return killed, resumed_by


@pytest.mark.usefixtures("traced_program")
async def test_one_trace_is_on_client_gateway_and_both_workers_when_one_is_killed(
    node: RunningNode, client: facet.AsyncClient, queue: RedisQueue, receiver: Receiver
) -> None:
    arrived = Arrived(receiver)
    options: GenerateOptions = {
        "temperature": 0.0,
        "min_output_tokens": TOKENS,
        "max_output_tokens": TOKENS,
    }
    stream = client.stream(PROMPT, **options)
    killed, resumed_by = await _stream_whose_worker_is_killed(node, stream, arrived)
    await arrived.wait(lambda: bool(arrived.named("deliver") and arrived.attempts()))
    await arrived.wait(lambda: bool(arrived.named("facet.timing")))

    assert {killed, resumed_by} == {"worker-0", "worker-1"}
    (root,) = [span for span in arrived.spans if span.service == "client"]
    assert {span.trace_id for span in arrived.spans} == {root.trace_id}
    assert {span.service for span in arrived.spans} == {"client", "facet-gateway", "facet-worker"}
    prefills = {span.instance: span.attributes for span in arrived.named("prefill")}
    assert set(prefills) == {killed, resumed_by}
    for told in prefills.values():
        assert 0 < told["facet.engine.prefill_seconds"] < 60
        assert told["facet.engine.queue_seconds"] >= 0
    (attempt,) = arrived.attempts()
    assert (attempt.instance, attempt.attributes["facet.attempt"]) == (resumed_by, 2)
    assert attempt.attributes["gen_ai.usage.output_tokens"] == TOKENS
    (timing,) = [span.attributes for span in arrived.named("facet.timing")]
    resumed = attempt.attributes["facet.resumed_tokens"]
    assert 0 < resumed < TOKENS
    assert timing["facet.output_tokens"] == TOKENS - resumed
    assert timing["facet.drafted_tokens"] > timing["facet.accepted_tokens"] > 0
    assert PROMPT not in receiver.raw

    async def are_both_back() -> bool:
        return len(await queue.reports()) == 2

    await until(are_both_back, seconds=180)
