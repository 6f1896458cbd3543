"""Workers' timing spans teach a running autoscaler the true service times of their engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from facet.api.v1 import generation_pb2
from facet.api.v1.admin_service_pb2 import ExplainAutoscalerResponse, ScaledPool
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import State
from tests.integration.worker.worker_process import WorkerProcess, eventually, ready, submit
from tests.support.autoscaler_process import autoscaler, pools_file
from tests.support.redis_server import RedisServer
from tests.unit.worker.scripted import TENANT

pytestmark = pytest.mark.integration

PREFILL_TOKENS_PER_SECOND = 2000.0
STEP_SECONDS = 0.02
ACCEPTANCE = 0.6
TOKENS_PER_STEP = 1 + ACCEPTANCE + ACCEPTANCE**2 + ACCEPTANCE**3
"""Of three drafted tokens, up to the first that is refused."""

SEQUENCES = 8
REQUESTS = 96


def request(number: int) -> generation_pb2.GenerationRequest:
    """A prompt of 100 to 800 tokens, and an answer of 60."""
    made = generation_pb2.GenerationRequest()
    made.contents.add().parts.add(text=f"{number:04}" * (25 + 25 * (number % 8)))
    made.generation_config.max_output_tokens = 60
    made.generation_config.min_output_tokens = 60
    return made


async def test_coefficients_come_within_15_percent_of_the_simulated_engine(
    queue: RedisQueue,
    start_worker: Callable[..., WorkerProcess],
    redis_server: RedisServer,
    release: str,
    tmp_path: Path,
) -> None:
    settings = {
        "redis_url": redis_server.url,
        "release": release,
        "pools_file": pools_file(tmp_path, [{"name": "l4", "max": 4}]),
        "listen": "127.0.0.1:0",
        "otlp_listen": "127.0.0.1:0",
        "decision_seconds": "0.5",
    }
    with ExitStack() as stack:
        # Two replicas, of which one leads, and each hears of one worker.
        started = []
        for _ in range(2):
            _, addresses = stack.enter_context(autoscaler(**settings))
            worker = start_worker(
                pool="l4",
                timing_endpoint=addresses["otlp"],
                max_sequences=SEQUENCES,
                simulated_prefill_tokens_per_second=PREFILL_TOKENS_PER_SECOND,
                simulated_step_ms=STEP_SECONDS * 1000,
                simulated_acceptance_rate=ACCEPTANCE,
            )
            started.append(worker)
        await ready(*started)
        names = await asyncio.gather(*(submit(queue, request(i)) for i in range(REQUESTS)))
        pools: list[ScaledPool] = []

        async def has_learned() -> bool:
            pools[:] = ExplainAutoscalerResponse.FromString((await queue.scaling()).decision).pools
            return bool(pools) and pools[0].service_times.samples == REQUESTS

        await eventually(has_learned, 40)
        states = {(await queue.status(name, TENANT)).state for name in names}

    assert states == {State.ENDED}
    assert pools[0].phases == {"ready": 2}
    assert pools[0].desired >= 1
    times = pools[0].service_times
    step = times.step_base_seconds + SEQUENCES * times.step_sequence_seconds
    assert 1 / times.prefill_token_seconds["text"] == pytest.approx(
        PREFILL_TOKENS_PER_SECOND, rel=0.15
    )
    assert step == pytest.approx(STEP_SECONDS, rel=0.15)
    assert times.tokens_per_step == pytest.approx(TOKENS_PER_STEP, rel=0.15)
