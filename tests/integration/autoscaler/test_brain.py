"""The part that knows and decides, as it is composed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from facet.autoscaler.brain import deciding
from facet.autoscaler.coefficients import ServiceCoefficients
from facet.autoscaler.deciding_loop import DecidingLoop
from facet.autoscaler.pod_reading import MemoryPods
from facet.autoscaler.policy import PoolSettings
from facet.autoscaler.settings import AutoscalerSettings
from facet.autoscaler.timing_samples import WaitingSamples
from facet.queue.port import Observer
from facet.queue.redis_queue import RedisQueue
from tests.support.conditions import until
from tests.support.queue_contract.world import submission
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

POOL = PoolSettings("l4", 16, 100.0, ServiceCoefficients(step_base_seconds=0.03))


async def test_arrivals_are_heard_when_listening_for_them_failed_once(
    own_redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, faults = DecidingLoop.watch, [KeyError("a fault")]

    async def failing(loop: DecidingLoop, queue: Observer) -> None:
        if faults:
            raise faults.pop()
        await watch(loop, queue)

    monkeypatch.setattr(DecidingLoop, "watch", failing)
    settings = AutoscalerSettings(
        pools_file=Path("pools.json"),
        redis_url=SecretStr(own_redis_server.url),
        decision_seconds=15.0,
    )
    queue = RedisQueue.connect(own_redis_server.url, release=settings.release, model=settings.model)
    redis: Redis = Redis.from_url(own_redis_server.url)
    async with (
        redis,
        deciding(settings, [POOL], WaitingSamples(), pods=MemoryPods()) as current,
    ):

        async def is_listening() -> bool:
            return int((await redis.info("clients"))["blocked_clients"]) > 0

        await until(is_listening, seconds=10)
        await queue.submit(submission("g-0-1"))

        async def is_decided() -> bool:
            return current.decision is not None and current.decision.total > 0

        await until(is_decided, seconds=5)
    await queue.close()
