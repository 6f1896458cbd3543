"""Drafts of vLLM that follow the batch, and what the self-test finds of nano's drafter."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from facet.core.telemetry import worker_metrics
from facet.profiles.catalogue import NANO_CPU
from facet.worker.engine.measures import EngineMeasures
from facet.worker.speculation_gate import SpeculationGate
from tests.support.nano_engine import generate, nano_engine
from tests.unit.worker.scripted import request

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    # vLLM and its dependencies warn of their own futures.
    pytest.mark.filterwarnings("ignore"),
]

FLOOR = NANO_CPU.engine.acceptance_floor


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
