"""What the whole node takes beside weights and KV cache: what a 16 GB machine has left for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

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


class Budget:
    """Kills a node that takes more than it may, from its start on, as a limit of the kernel would.

    A thread looks twice a second. Limits of control groups cannot be set everywhere, and would
    count weights and KV cache.
    """

    def __init__(self, node: RunningNode, most: int) -> None:
        self._node = node
        self._most = most
        self.peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def close(self) -> None:
        """End the watch; prints the peak."""
        self._ended.set()
        self._thread.join()
        print(f"node at its peak: {self.peak / 1e9:.2f} GB beside weights and KV cache")

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            self.peak = max(self.peak, beside_weights_and_cache(self._node)[0])
            if self.peak > self._most:
                self._node.process.kill()
                return


@pytest.fixture(scope="module")
def small_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningNode, Budget]]:
    with (
        closing(
            RunningNode(
                tmp_path_factory.mktemp("small"),
                {"FACET_NODE_WORKERS": "1"},
                ready_seconds=READY_SECONDS,
            )
        ) as running,
        closing(Budget(running, MOST)) as budget,
    ):
        running.address()
        yield running, budget


def beside_weights_and_cache(node: RunningNode) -> tuple[int, str]:
    """Bytes of all processes, and in words where they lie."""
    processes = tree_memory(node.process.pid)
    cache = 0
    for each in processes:
        with suppress(OSError):
            cache += resident_in_mappings(each.pid, at_least=KV_BYTES)
    footprint = Footprint.of(NANO_CPU)
    weights = footprint.weight_bytes + footprint.drafter_bytes
    rest = sum(each.pss for each in processes) - cache - weights
    table = ", ".join(f"{each.name} {each.pss // MIB}" for each in processes)
    return rest, (
        f"{rest / 1e9:.2f} GB beside weights ({weights // MIB} MiB) and KV cache "
        f"({cache // MIB} MiB resident); MiB by process: {table}"
    )


async def test_the_node_stays_in_its_budget_when_idle_and_when_requests_run(
    small_node: tuple[RunningNode, Budget],
) -> None:
    node, budget = small_node
    names = {each.name for each in tree_memory(node.process.pid)}
    assert {"redis-server", "VLLM::EngineCor"} <= names

    print("node idle:", beside_weights_and_cache(node)[1])
    async with facet.AsyncClient(node.address()) as client, asyncio.TaskGroup() as streams:
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
        taken, table = beside_weights_and_cache(node)
        print(f"node under {STREAMS} streams:", table)
        assert taken <= MOST
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
    assert 0 < budget.peak <= MOST
