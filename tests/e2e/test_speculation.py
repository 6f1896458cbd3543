"""Speculation of nano in vLLM: what workers measure of it, as told by a node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

import facet
from facet.client.admin import AdminClient
from facet.profiles.catalogue import NANO_CPU
from tests.e2e.conftest import READY_SECONDS
from tests.support.promtool import Scraped, scrape
from tests.support.running_node import RunningNode, logged

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

WORKERS = ("worker-0", "worker-1")
FLOOR = NANO_CPU.engine.acceptance_floor


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node of its own: what other tests ask for is in the window, and some of it is random."""
    folder = tmp_path_factory.mktemp("speculation")
    settings = {"FACET_NODE_WORKERS": str(len(WORKERS))}
    with closing(RunningNode(folder, settings, ready_seconds=READY_SECONDS)) as running:
        running.address()
        yield running


async def test_workers_have_tested_themselves_when_they_are_ready(
    node: RunningNode, client: facet.AsyncClient
) -> None:
    assert (await client.generate("Count to 7.")).text == "1 2 3 4 5 6 7"
    for worker in WORKERS:
        tested = logged(node, worker, "speculation.self_tested")
        assert tested["is_complete"] is True
        told = Scraped(scrape(str(logged(node, worker, "metrics.listening")["address"])))
        assert told.total("facet_worker_speculation_healthy") == 1
        assert FLOOR < told.total("facet_worker_speculation_acceptance") <= 1
        assert 0 < told.total("facet_worker_start_seconds", phase="self_test") < 10


def test_operators_see_the_share_of_each_worker(node: RunningNode) -> None:
    address = json.loads((node.state_dir / "state.json").read_text())["admin"]
    with AdminClient(address) as admin:
        workers = admin.workers().workers
    assert len(workers) == len(WORKERS)
    for worker in workers:
        assert worker.speculation.healthy
        assert worker.speculation.floor == FLOOR
        assert worker.speculation.acceptance > FLOOR
