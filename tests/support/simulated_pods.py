"""Pod models and requests for tests of the simulator, with numbers that are easy to follow."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence

from facet.simulator.pod_model import PodModel, Speculation, StartShares
from facet.simulator.request import Request
from facet.simulator.workloads.workload import Workload

PLAIN = PodModel(
    name="plain",
    prefill_token_seconds=0.001,
    step_base_seconds=0.05,
    step_sequence_seconds=0.01,
    batched_tokens=200,
    max_sequences=4,
    kv_tokens=10_000,
    claim_ahead=0,
    drain_seconds=2.0,
    speculation=(),
    start_shares=StartShares(0.25, 0.25, 0.25, 0.25),
    sources={},
)
"""A request of 100 and 10 tokens alone takes 0.16 s to its first token and 0.54 s from there."""

SPECULATING = dataclasses.replace(
    PLAIN, speculation=(Speculation(1, 2.5, 1.2), Speculation(2, 1.5, 1.1)), max_sequences=8
)


def workload(requests: Sequence[tuple[float, int, int]], duration_seconds: float) -> Workload:
    """One of (time, prompt tokens, output tokens)."""

    def arrivals() -> Iterator[Request]:
        for at, prompt, output in requests:
            yield Request(at, prompt, output)

    return Workload("listed", duration_seconds, arrivals)


def drawn(count: int, rate: float, seed: int) -> list[tuple[float, int, int]]:
    """Requests of a Poisson process, short ones and long ones."""
    chance, at, requests = random.Random(seed), 0.0, []
    for _ in range(count):
        at += chance.expovariate(rate)
        requests.append((at, chance.randrange(20, 500), chance.randrange(1, 60)))
    return requests
