"""How much it costs to delete a pod: the busier the worker, the more. Kubernetes takes the least.

A cost is a coarse bucket, so that few changes of load are writes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus

import structlog

from facet.autoscaler.kubernetes_api import Guard, KubernetesApi, KubernetesError
from facet.autoscaler.pod_watch import KnownPod
from facet.autoscaler.signals import Phase, WorkerLoad

LEAVING_COST = -1000
"""Carried by those that are to go: any replica of the autoscaler knows them by it."""

BUCKETS = 4
BUCKET_COST = 100
POD_SECONDS = 30.0
"""A pod's cost is written no more often."""

MAX_WRITES = 10
"""Of one look; the others wait for the next one."""

_log = structlog.get_logger(__name__)


def cost_of(load: WorkerLoad) -> int:
    """0 for an idle worker, 100 to 400 by the quarter of its capacity that is busy."""
    if load.running <= 0:
        return 0
    share = min(load.running / max(load.capacity, 1), 1.0)
    return BUCKET_COST * math.ceil(share * BUCKETS)


class DeletionCosts:
    """Writes the costs of ready pods that have changed. Several writers do no harm: all agree."""

    def __init__(
        self, api: KubernetesApi, guard: Guard, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._guard = guard
        self._clock = clock
        self._written_at: dict[str, float] = {}

    async def step(self, pods: Iterable[KnownPod], loads: Mapping[str, WorkerLoad]) -> int:
        """Write what is due; returns how many were. Errors: KubernetesError, NotLeadingError.

        Pods that are leaving, or whose worker says nothing, keep what they carry.
        """
        now = self._clock()
        due = [
            (known.pod.name, cost)
            for known in pods
            if known.pod.phase is Phase.READY and known.cost != LEAVING_COST
            if (load := loads.get(known.pod.name)) is not None
            if (cost := cost_of(load)) != known.cost
            if now - self._written_at.get(known.pod.name, -POD_SECONDS) >= POD_SECONDS
        ]
        self._written_at = {
            name: at for name, at in self._written_at.items() if now - at < POD_SECONDS
        }
        for name, cost in due[:MAX_WRITES]:
            self._written_at[name] = now
            await write_cost(self._api, name, cost, self._guard)
        return len(due[:MAX_WRITES])


async def write_cost(api: KubernetesApi, pod: str, cost: int, guard: Guard) -> None:
    """Write one; a pod that is gone needs none. Errors: KubernetesError, NotLeadingError."""
    try:
        await api.set_deletion_cost(pod, cost, guard)
    except KubernetesError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        _log.debug("deletion_cost.pod_gone", pod=pod)
