"""Timing spans of a simulated engine teach a running autoscaler its true service times."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from facet.api.v1 import generation_pb2
from facet.api.v1.admin_service_pb2 import ExplainAutoscalerResponse, ScaledPool
from facet.core.models import NANO
from facet.queue.redis_queue import RedisQueue
from facet.worker.engine.simulated import SimulatedEngine, SimulatedOptions
from tests.support.autoscaler_process import autoscaler, pools_file
from tests.support.conditions import until
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

TRUE = SimulatedOptions(
    prefill_tokens_per_second=2000.0, step_ms=20.0, draft_tokens=3, acceptance_rate=0.6
)
EXPECTED_TOKENS_PER_STEP = 1 + 0.6 + 0.6**2 + 0.6**3
REQUESTS = 96
AT_ONCE = 12
OUTPUT_TOKENS = 60

Tell = Callable[[dict[str, str | int | float]], None]


async def run_one(engine: SimulatedEngine, number: int, tell: Tell) -> None:
    """Generate as a worker does, and tell the timing span that a worker sends."""
    request = generation_pb2.GenerationRequest()
    text = f"{number:04}" * (25 + 25 * (number % 8))
    request.contents.add().parts.add(text=text)
    request.generation_config.max_output_tokens = OUTPUT_TOKENS
    request.generation_config.min_output_tokens = OUTPUT_TOKENS
    prompt = await engine.render(request, (), "tenant")
    began = time.monotonic()
    first = last = began
    steps = tokens = batches = 0
    async for step in engine.generate(f"g-{number}", request, prompt, ()):
        last = time.monotonic()
        if not tokens:
            first = last
        else:
            steps += 1
            batches += engine.running()
        tokens += len(step.token_ids)
    if not steps:
        return
    tell(
        {
            "facet.model": "nano",
            "facet.pool": "l4",
            "facet.prompt_tokens.text": prompt.token_count,
            "facet.prompt_tokens.image": 0,
            "facet.prompt_tokens.audio": 0,
            "facet.prompt_tokens.video": 0,
            "facet.cached_tokens": 0,
            "facet.output_tokens": tokens,
            "facet.steps": steps,
            "facet.prefill_seconds": first - began,
            "facet.decode_seconds": last - first,
            "facet.batch_size": batches / steps,
            "facet.outcome": "OK",
        }
    )


async def generate_all(tell: Tell) -> None:
    engine = SimulatedEngine(TRUE, NANO)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            await run_one(engine, number, tell)

    async with asyncio.TaskGroup() as group:
        for number in range(REQUESTS):
            group.create_task(one(number))


async def test_coefficients_come_within_15_percent_of_the_simulated_engine(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    release = secrets.token_hex(8)
    pools = pools_file(tmp_path, [{"name": "l4", "max": 4}])
    settings = {
        "redis_url": redis_server.url,
        "release": release,
        "pools_file": pools,
        "listen": "127.0.0.1:0",
        "otlp_listen": "127.0.0.1:0",
        "decision_seconds": "0.5",
    }
    queue = RedisQueue.connect(redis_server.url, release=release, model="nano")
    with ExitStack() as stack:
        # Two replicas, of which one leads; workers reach either.
        exporters = []
        for _ in range(2):
            _, addresses = stack.enter_context(autoscaler(**settings))
            provider = TracerProvider(shutdown_on_exit=False)
            exporter = OTLPSpanExporter(endpoint=f"http://{addresses['otlp']}", insecure=True)
            provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
            stack.callback(provider.shutdown)
            exporters.append(provider.get_tracer("test"))
        told = 0

        def tell(attributes: dict[str, str | int | float]) -> None:
            nonlocal told
            exporters[told % 2].start_span("facet.timing", attributes=attributes).end()
            told += 1

        await generate_all(tell)
        found: list[ScaledPool] = []

        async def has_learned() -> bool:
            record = await queue.scaling()
            found[:] = ExplainAutoscalerResponse.FromString(record.decision).pools
            return bool(found) and found[0].service_times.samples == told

        await until(has_learned, seconds=15)
    await queue.close()

    assert told > REQUESTS / 2
    times = found[0].service_times
    step = times.step_base_seconds + AT_ONCE * times.step_sequence_seconds
    assert times.prefill_token_seconds["text"] == pytest.approx(1 / 2000, rel=0.15)
    assert step == pytest.approx(TRUE.step_ms / 1000, rel=0.15)
    assert times.tokens_per_step == pytest.approx(EXPECTED_TOKENS_PER_STEP, rel=0.15)
