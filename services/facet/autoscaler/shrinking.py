"""Drain before shrink: which pods are to go, and which of them hold nothing any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from facet.autoscaler.deletion_costs import LEAVING_COST
from facet.autoscaler.pod_watch import KnownPod
from facet.autoscaler.signals import Phase, WorkerLoad

_ORDER = (Phase.UNSCHEDULABLE, Phase.PULLING, Phase.LOADING, Phase.WARMING, Phase.READY)
"""Those furthest from serving go first."""


@dataclass(frozen=True)
class Shrink:
    """What is due in one pool: pods to mark and to ask, pods that stay after all, the replicas."""

    replicas: int
    leaving: tuple[str, ...] = ()
    staying: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


class Drains:
    """Follows those that leave; the marks are on the pods, so that another leader goes on."""

    def __init__(self, bound_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._bound_seconds = bound_seconds
        self._clock = clock
        self._since: dict[str, float] = {}

    def plan(
        self,
        pods: Sequence[KnownPod],
        loads: Mapping[str, WorkerLoad],
        replicas: int,
        wanted: int,
    ) -> Shrink:
        """What to do with a pool of these pods whose scale is `replicas`.

        The scale falls by those that hold nothing any more, or were asked long enough ago.
        """
        active = [each for each in pods if each.pod.phase is not Phase.TERMINATING]
        # Kubernetes has yet to delete those beyond the scale: they leave already.
        going = max(len(active) - replicas, 0)
        count = max(replicas - wanted, 0) + going
        ordered = sorted(active, key=lambda each: _rank(each, loads.get(each.pod.name)))
        leaving, staying = ordered[:count], ordered[count:]
        now = self._clock()
        names = {each.pod.name for each in leaving}
        self._since = {name: self._since.get(name, now) for name in names}
        done = [each for each in leaving if self._is_done(each, loads.get(each.pod.name), now)]
        released = max(len(done) - going, 0)
        return Shrink(
            replicas=max(replicas - released, wanted) if wanted < replicas else wanted,
            leaving=tuple(e.pod.name for e in leaving if e.cost != LEAVING_COST),
            staying=tuple(e.pod.name for e in staying if e.cost == LEAVING_COST),
            asked=tuple(
                each.pod.name
                for each in leaving
                if (load := loads.get(each.pod.name)) is not None and not load.is_draining
            ),
        )

    def _is_done(self, known: KnownPod, load: WorkerLoad | None, now: float) -> bool:
        if now - self._since[known.pod.name] >= self._bound_seconds:
            return True
        if known.cost != LEAVING_COST:
            return False  # another pod might be deleted in its place
        if load is None:
            # Not yet a worker, or one that has ended. A ready one that is silent may hold work.
            return known.pod.phase is not Phase.READY
        return load.is_draining and load.running == 0


def _rank(known: KnownPod, load: WorkerLoad | None) -> tuple[bool, int, bool, int, str]:
    return (
        known.cost != LEAVING_COST,
        _ORDER.index(known.pod.phase) if load is None else len(_ORDER),
        load is None or not load.is_draining,
        0 if load is None else load.running,
        known.pod.name,
    )
