"""One node with two real vLLM workers on the nano checkpoint for all end-to-end tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest

import facet
from facet.queue.redis_queue import RedisQueue
from tests.support.otlp_receiver import Receiver, otlp_receiver
from tests.support.running_node import RunningNode

READY_SECONDS = 300.0


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """What takes the spans of all services."""
    with otlp_receiver() as started:
        yield started


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[RunningNode]:
    folder = tmp_path_factory.mktemp("node")
    settings = {
        "FACET_NODE_WORKERS": "2",
        "FACET_GATEWAY_TRACE_ENDPOINT": receiver.address,
        "FACET_WORKER_TRACE_ENDPOINT": receiver.address,
        "FACET_WORKER_TIMING_ENDPOINT": receiver.address,
    }
    with closing(RunningNode(folder, settings, ready_seconds=READY_SECONDS)) as running:
        running.address()
        yield running


@pytest.fixture
async def client(node: RunningNode) -> AsyncIterator[facet.AsyncClient]:
    async with facet.AsyncClient(node.address()) as connected:
        yield connected


@pytest.fixture
async def queue(node: RunningNode) -> AsyncIterator[RedisQueue]:
    connected = RedisQueue.connect(node.redis_url, release="default", model="nano")
    yield connected
    await connected.close()
