"""A queue in a namespace of its own, and workers on it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from facet.queue.redis_queue import RedisQueue
from tests.integration.worker.worker_process import WorkerProcess, workers
from tests.support.redis_server import RedisServer


@pytest.fixture
def release() -> str:
    return f"worker-{secrets.token_hex(4)}"


@pytest.fixture
async def queue(redis_server: RedisServer, release: str) -> AsyncIterator[RedisQueue]:
    connected = RedisQueue.connect(redis_server.url, release=release, model="nano")
    yield connected
    await connected.close()


@pytest.fixture
def start_worker(
    tmp_path: Path, redis_server: RedisServer, release: str
) -> Iterator[Callable[..., WorkerProcess]]:
    with workers(tmp_path, redis_server.url, release) as start:
        yield start
