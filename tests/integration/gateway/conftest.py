"""A gateway in this process over a real Redis, and what plays its clients and workers."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from facet.core.models import NANO
from facet.gateway.app import Gateway, compose, running
from facet.gateway.authenticator import AnonymousAuthenticator, Authenticator
from facet.gateway.queues import queue_limits
from facet.gateway.settings import GatewaySettings
from facet.queue.limits import QueueLimits
from facet.queue.media import RedisMediaStore
from facet.queue.redis_queue import RedisQueue
from tests.integration.gateway.scripted_worker import ScriptedWorker
from tests.support.redis_server import RedisServer

if TYPE_CHECKING:
    from facet.api.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub


@dataclass(frozen=True)
class Bench:
    """A running gateway with a client's channel and a worker's queue of its own."""

    gateway: Gateway
    address: str
    channel: grpc.aio.Channel
    inference: InferenceServiceAsyncStub
    queue: RedisQueue
    media: RedisMediaStore
    worker: ScriptedWorker


class BenchMaker:
    """Starts benches on one Redis; all are stopped at the end of the test."""

    def __init__(self, stack: AsyncExitStack, redis_url: str) -> None:
        self._stack = stack
        self._url = redis_url
        self.release = f"t{secrets.token_hex(6)}"

    async def start(
        self,
        authenticator: Authenticator | None = None,
        *,
        reader_grace_seconds: float = 10.0,
        drain_seconds: float = 5.0,
        default_deadline_seconds: float = 60.0,
        max_open_calls: int = 4096,
        max_waiting: int = 10_000,
        tenant_max_waiting: int = 10_000,
        tenants_file: Path | None = None,
        options: tuple[tuple[str, int], ...] = (),
    ) -> Bench:
        settings = GatewaySettings(
            reader_grace_seconds=reader_grace_seconds,
            drain_seconds=drain_seconds,
            default_deadline_seconds=default_deadline_seconds,
            max_open_calls=max_open_calls,
            max_waiting=max_waiting,
            tenant_max_waiting=tenant_max_waiting,
            tenants_file=tenants_file,
        )
        media = self._media()
        gateway = compose(
            settings,
            [(NANO, self.queue(queue_limits(settings)))],
            media,
            authenticator or AnonymousAuthenticator(),
        )
        address = await self._stack.enter_async_context(running(gateway))
        channel = await self._stack.enter_async_context(
            grpc.aio.insecure_channel(address, options=list(options))
        )
        queue = self.queue()
        return Bench(
            gateway,
            address,
            channel,
            InferenceServiceStub(channel),
            queue,
            media,
            ScriptedWorker(queue),
        )

    def queue(self, limits: QueueLimits | None = None) -> RedisQueue:
        queue = RedisQueue.connect(
            self._url, release=self.release, model=NANO.name, limits=limits or QueueLimits()
        )
        self._stack.push_async_callback(queue.close)
        return queue

    def _media(self) -> RedisMediaStore:
        media = RedisMediaStore.connect(self._url, release=self.release)
        self._stack.push_async_callback(media.close)
        return media


@pytest.fixture
async def benches(redis_server: RedisServer) -> AsyncIterator[BenchMaker]:
    async with AsyncExitStack() as stack:
        yield BenchMaker(stack, redis_server.url)


@pytest.fixture
async def bench(benches: BenchMaker) -> Bench:
    return await benches.start()


@pytest.fixture
async def own_benches(own_redis_server: RedisServer) -> AsyncIterator[BenchMaker]:
    async with AsyncExitStack() as stack:
        yield BenchMaker(stack, own_redis_server.url)
