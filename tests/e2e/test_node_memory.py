"""What the whole node takes beside weights and KV cache: what a 16 GB machine has left for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

import facet
from facet.profiles.catalogue import NANO_CPU
from facet.profiles.footprint import Footprint
from facet.profiles.machine import Machine, exactly
from facet.profiles.planner import plan
from facet.profiles.profile import GIB, MIB
from tests.e2e.conftest import READY_SECONDS
from tests.support.memory_of import resident_in_mappings, tree_memory
from tests.support.running_node import RunningNode

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MOST = 2_500_000_000
"""Of 16 GB, with w4a16's weights, drafter and a KV cache of whole GiB."""

KV_BYTES = plan(NANO_CPU, Machine(ram=exactly(16 * GIB))).memory.kv_bytes
STREAMS = 8


@pytest.fixture(scope="module")
def small_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with closing(
        RunningNode(
            tmp_path_factory.mktemp("small"),
            {"FACET_NODE_WORKERS": "1"},
            ready_seconds=READY_SECONDS,
        )
    ) as running:
        running.address()
        yield running


def beside_weights_and_cache(node: RunningNode, moment: str) -> int:
    """Bytes of all processes; prints where they lie."""
    processes = tree_memory(node.process.pid)
    cache = sum(resident_in_mappings(each.pid, at_least=KV_BYTES) for each in processes)
    footprint = Footprint.of(NANO_CPU)
    weights = footprint.weight_bytes + footprint.drafter_bytes
    rest = sum(each.pss for each in processes) - cache - weights
    table = ", ".join(f"{each.name} {each.pss // MIB}" for each in processes)
    print(
        f"node {moment}: {rest / 1e9:.2f} GB beside weights ({weights // MIB} MiB) and KV cache "
        f"({cache // MIB} MiB resident); MiB by process: {table}"
    )
    return rest


async def test_the_node_stays_in_its_budget_when_idle_and_when_requests_run(
    small_node: RunningNode,
) -> None:
    names = {each.name for each in tree_memory(small_node.process.pid)}
    assert {"redis-server", "VLLM::EngineCor"} <= names

    assert beside_weights_and_cache(small_node, "idle") <= MOST
    async with facet.AsyncClient(small_node.address()) as client, asyncio.TaskGroup() as streams:
        started = asyncio.Barrier(STREAMS + 1)

        async def run() -> None:
            async with client.stream(
                "Count. " * 200, temperature=0.0, min_output_tokens=2000, max_output_tokens=2000
            ) as stream:
                await anext(stream)
                await started.wait()
                await stream.result()

        tasks = [streams.create_task(run()) for _ in range(STREAMS)]
        async with asyncio.timeout(120):
            await started.wait()
        assert beside_weights_and_cache(small_node, "under 8 streams") <= MOST
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
