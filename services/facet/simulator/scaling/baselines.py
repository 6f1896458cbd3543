"""What is usually done: a fixed size, KEDA on the length of the queue, an HPA on utilisation."""

from __future__ import annotations

from collections.abc import Callable

from facet.autoscaler.signals import Phase
from facet.queue.values import Priority
from facet.simulator.scaling.hpa import (
    SYNC_SECONDS,
    TOLERANCE,
    Behavior,
    Stabiliser,
    replicas_for_pods,
    replicas_for_total,
)
from facet.simulator.scaling.port import POOL, Cluster

LIST_LENGTH = 5
"""Target of KEDA's redis scaler by default: so many waiting entries a pod."""

POLLING_SECONDS = 30.0
COOLDOWN_SECONDS = 300.0
"""Defaults of a ScaledObject: how often it looks whether there is anything, and how long there has
to be nothing before the last pods go."""

UTILISATION = 0.7
"""Share of the sequences that the HPA aims at."""


class FixedSize:
    """So many pods all the time; those of the beginning are ready at once."""

    def __init__(self, count: int) -> None:
        self._count = count

    def begin(self, cluster: Cluster, pods: int) -> None:
        """See `Scaler.begin`."""
        del pods
        cluster.fleet.begin_with(POOL, self._count)

    def woken(self) -> None:
        """See `Scaler.woken`."""


class _Synced:
    """Asks a function for replicas at each sync of the HPA controller."""

    def __init__(self, behavior: Behavior) -> None:
        self._behavior = behavior
        self._stabiliser = Stabiliser(behavior)
        self._cluster: Cluster

    def begin(self, cluster: Cluster, pods: int) -> None:
        """See `Scaler.begin`."""
        self._begin_with(cluster, max(pods, self._behavior.min_pods))

    def woken(self) -> None:
        """See `Scaler.woken`."""

    def _begin_with(self, cluster: Cluster, pods: int) -> None:
        self._cluster = cluster
        cluster.fleet.begin_with(POOL, pods)
        self._stabiliser.begin(pods, cluster.kernel.now)
        self._every(SYNC_SECONDS, self._sync)

    def _every(self, seconds: float, act: Callable[[], None]) -> None:
        def run() -> None:
            act()
            self._cluster.kernel.after(seconds, run)

        self._cluster.kernel.after(seconds, run)

    def _sync(self) -> None:
        current = self._cluster.fleet.wanted(POOL)
        if current == 0:
            return
        wish = self._recommended(current)
        now = self._cluster.kernel.now
        self._cluster.resize(POOL, self._stabiliser.replicas(wish, current, now))

    def _recommended(self, current: int) -> int:
        raise NotImplementedError


class KedaQueueLength(_Synced):
    """KEDA with a target for the length of the list of waiting requests; to zero and from it."""

    def __init__(self, *, min_pods: int, max_pods: int) -> None:
        super().__init__(Behavior(max(1, min_pods), max_pods))
        self._min_pods = min_pods
        self._active_seconds = 0.0

    def begin(self, cluster: Cluster, pods: int) -> None:
        """See `Scaler.begin`."""
        self._begin_with(cluster, max(pods, self._min_pods))
        self._every(POLLING_SECONDS, self._poll)

    def _poll(self) -> None:
        cluster = self._cluster
        now, current = cluster.kernel.now, cluster.fleet.wanted(POOL)
        if cluster.queue.has_waiting:
            self._active_seconds = now
            if current == 0:
                cluster.resize(POOL, 1)
        elif current and not self._min_pods and now - self._active_seconds >= COOLDOWN_SECONDS:
            cluster.resize(POOL, 0)

    def _recommended(self, current: int) -> int:
        length = sum(self._cluster.queue.waiting(each)[0] for each in Priority)
        return replicas_for_total(length, LIST_LENGTH, current, TOLERANCE)


class HpaUtilisation(_Synced):
    """An HPA on the share of sequences in use."""

    def __init__(self, *, min_pods: int, max_pods: int) -> None:
        super().__init__(Behavior(max(1, min_pods), max_pods))

    def _recommended(self, current: int) -> int:
        pods = self._cluster.fleet.members(POOL)
        uses = [pod.use for pod in pods if pod.is_ready]
        pending = sum(pod.phase in (Phase.UNSCHEDULABLE, Phase.PULLING) for pod in pods)
        silent = len(pods) - len(uses) - pending
        return replicas_for_pods(
            uses, UTILISATION, silent=silent, pending=pending, tolerance=TOLERANCE
        )
