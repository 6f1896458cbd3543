"""Health: watchers, drain, the monitor."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from structlog.testing import capture_logs

from facet.core.errors import StoreUnavailableError
from facet.gateway.authenticator import AnonymousAuthenticator
from facet.gateway.health_service import HealthService, ReadinessMonitor
from facet.queue.memory_queue import MemoryQueue

pytestmark = pytest.mark.unit

State = health_pb2.HealthCheckResponse


class Watcher:
    """A call of `Watch`; a stalled one never takes what is written to it."""

    def __init__(self, health: HealthService, *, is_stalled: bool = False) -> None:
        self.seen: list[int] = []
        self._is_stalled = is_stalled
        watch: Any = health.watch
        self.task = asyncio.create_task(watch(health_pb2.HealthCheckRequest(), self))

    async def write(self, response: Any) -> None:
        self.seen.append(response.status)
        if self._is_stalled:
            await asyncio.Event().wait()


class AwayQueue(MemoryQueue):
    is_away = False

    async def ping(self) -> None:
        if self.is_away:
            raise StoreUnavailableError("away")


async def test_others_are_told_when_one_watcher_stalls() -> None:
    health = HealthService(())
    stalled, other = Watcher(health, is_stalled=True), Watcher(health)
    await asyncio.sleep(0)
    for is_serving in (True, False, True):
        health.set_serving(is_serving)
        for _ in range(3):
            await asyncio.sleep(0)
    assert stalled.seen == [State.NOT_SERVING]
    assert other.seen == [State.NOT_SERVING, State.SERVING, State.NOT_SERVING, State.SERVING]
    for watcher in (stalled, other):
        watcher.task.cancel()
    await asyncio.gather(stalled.task, other.task, return_exceptions=True)


async def test_a_state_is_told_when_all_watchers_have_it() -> None:
    health = HealthService(())
    await health.told()
    stalled, other = Watcher(health, is_stalled=True), Watcher(health)
    await asyncio.sleep(0)
    health.set_serving(True)
    telling = asyncio.create_task(health.told())
    for _ in range(9):
        await asyncio.sleep(0)
    assert other.seen[-1] == State.SERVING
    assert not telling.done()
    stalled.task.cancel()
    await asyncio.wait_for(telling, 1)
    other.task.cancel()
    await asyncio.gather(stalled.task, other.task, return_exceptions=True)


async def test_state_stays_not_serving_when_drained() -> None:
    health = HealthService(())
    health.set_serving(True)
    health.drain()
    health.set_serving(True)
    assert not health.is_serving


async def test_state_follows_the_store_when_one_of_its_queues_is_away() -> None:
    health = HealthService(())
    away = AwayQueue()
    monitor = ReadinessMonitor([MemoryQueue(), away], health, AnonymousAuthenticator())
    for is_away in (False, True, False):
        away.is_away = is_away
        await monitor.check()
        assert health.is_serving is not is_away


class LateAuthenticator(AnonymousAuthenticator):
    is_ready = False


async def test_state_is_not_serving_when_the_keys_of_callers_are_not_known_yet() -> None:
    health = HealthService(())
    late = LateAuthenticator()
    monitor = ReadinessMonitor([MemoryQueue()], health, late)
    with capture_logs() as logs:
        for is_ready in (False, False, True):
            late.is_ready = is_ready
            await monitor.check()
            assert health.is_serving is is_ready
    (entry,) = logs
    assert "FACET_GATEWAY_OIDC_JWKS" in entry["why"]
