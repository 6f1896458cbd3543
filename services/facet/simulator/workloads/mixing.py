"""Classes of requests."""

from __future__ import annotations

import random
from collections.abc import Iterator

from facet.queue.values import Priority
from facet.simulator.request import Request
from facet.simulator.workloads.workload import Workload


def with_batch(workload: Workload, share: float, seed: int) -> Workload:
    """The same requests, so many of them BATCH, drawn from the seed."""

    def arrivals() -> Iterator[Request]:
        chance = random.Random(seed)  # noqa: S311 - a simulation
        for request in workload.arrivals():
            if chance.random() < share:
                request.priority = Priority.BATCH
            yield request

    return Workload(workload.name, workload.duration_seconds, arrivals)
