"""One node with two real vLLM workers on the nano checkpoint for all end-to-end tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

import facet
from facet.queue.redis_queue import RedisQueue
from tests.support.node_process import NodeProcess

READY_SECONDS = 300.0


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("node")
    with NodeProcess(folder, ready_seconds=READY_SECONDS, workers=2) as running:
        yield running


@pytest.fixture
async def client(node: NodeProcess) -> AsyncIterator[facet.AsyncClient]:
    async with facet.AsyncClient(node.address) as connected:
        yield connected


@pytest.fixture
async def queue(node: NodeProcess) -> AsyncIterator[RedisQueue]:
    connected = RedisQueue.connect(node.state()["redis_url"], release="default", model="nano")
    yield connected
    await connected.close()
