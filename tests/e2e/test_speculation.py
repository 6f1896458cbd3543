"""Speculation of nano in vLLM: what the self-test measures, and drafts that follow the batch."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

import facet
from facet.client.admin import AdminClient
from facet.core.telemetry import worker_metrics
from facet.profiles.catalogue import NANO_CPU
from facet.worker.engine.measures import EngineMeasures
from facet.worker.speculation_gate import SpeculationGate
from tests.support.nano_engine import generate, nano_engine
from tests.support.promtool import Scraped, scrape
from tests.support.running_node import RunningNode
from tests.unit.worker.scripted import request

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

WORKERS = ("worker-0", "worker-1")
FLOOR = NANO_CPU.engine.acceptance_floor


def logged(node: RunningNode, worker: str, event: str) -> dict[str, object]:
    """The one line of the worker's log that tells this."""
    text = (node.state_dir / "logs" / f"{worker}.log").read_text()
    [line] = [line for line in text.splitlines() if f'"{event}"' in line]
    return dict(json.loads(line))


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


async def test_drafts_are_as_deep_as_the_profile_says_for_the_batch() -> None:
    measures = EngineMeasures("nano", "depths")

    def drafted() -> Counter[str]:
        [family] = worker_metrics.DRAFTED_AT.collect()
        return Counter(
            {
                sample.labels["position"]: int(sample.value)
                for sample in family.samples
                if sample.labels["pool"] == "depths" and sample.name.endswith("_total")
            }
        )

    async with nano_engine(((1, 1, 3), (2, 4, 1)), measures) as engine:
        gate = SpeculationGate(FLOOR)
        await generate(engine, request("Count to 30."))
        alone = drafted()
        await asyncio.gather(
            *(generate(engine, request(f"Count to {n}.")) for n in (27, 28, 29, 30))
        )
        together = drafted() - alone
        await gate.self_test(engine)

    # The last draft is cut at the end of the answer.
    assert alone["2"] >= alone["0"] - 2 > 0
    # At its ends the batch is one of one.
    assert together["0"] > 30
    assert together["2"] < together["0"] / 4
    assert gate.is_healthy
    assert gate.acceptance is not None
    assert gate.acceptance > FLOOR
