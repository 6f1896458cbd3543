"""A schedule of ready pods, fixed beforehand: what it costs, and a scaler that follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facet.simulator.scaling.port import POOL, Cluster

_LAST_SECONDS = 1.0
"""How often the last pod is tried to be done without."""


@dataclass(frozen=True)
class Schedule:
    """`ready[i]` pods serve in the i-th step of `step_seconds`.

    `initial_pods` are ready at 0 without a start; all others are paid from `cold_start_seconds`
    before they serve.
    """

    ready: tuple[int, ...]
    step_seconds: float
    cold_start_seconds: float
    initial_pods: int

    @property
    def is_possible(self) -> bool:
        """Whether all its pods can be ready in time, being asked for at 0 at the earliest."""
        starting = range(min(len(self.ready), self._unstartable))
        return all(self.ready[step] <= self.initial_pods for step in starting)

    @property
    def _unstartable(self) -> int:
        """Steps that begin before a pod that is asked for at 0 is ready."""
        return -int(-self.cold_start_seconds // self.step_seconds)

    def spans(self) -> list[tuple[int, int]]:
        """First step and the one after the last of each pod's service, least pods first.

        A pod is kept through a gap that is no longer than another one's start: to start one costs
        at least as much.
        """
        spans = []
        gap = self.cold_start_seconds / self.step_seconds
        for level in range(1, max(self.ready, default=0) + 1):
            begin = end = None
            if level <= self.initial_pods:
                begin = end = 0
            for step, count in enumerate(self.ready):
                if count < level:
                    continue
                if begin is None or end is None:
                    begin = step
                elif step - end > gap:
                    spans.append((begin, end))
                    begin = step
                end = step + 1
            if begin is not None and end is not None:
                spans.append((begin, end))
        return [(begin, end) for begin, end in spans if end > begin]

    def pod_seconds(self) -> float:
        """What is paid, drains apart."""
        total = 0.0
        started_at_zero = 0
        for begin, end in self.spans():
            total += (end - begin) * self.step_seconds
            if begin == 0 and started_at_zero < self.initial_pods:
                started_at_zero += 1
            else:
                total += self.cold_start_seconds
        return total


class Scheduled:
    """Asks for the pods of a schedule, which begins at `begin_seconds`, just in time."""

    def __init__(self, schedule: Schedule, begin_seconds: float = 0.0) -> None:
        self._schedule = schedule
        self._begin_seconds = begin_seconds

    def begin(self, cluster: Cluster, pods: int) -> None:
        """See `Scaler.begin`."""
        del pods
        schedule, changes = self._schedule, list[tuple[float, int]]()
        at_zero = 0
        for begin, end in schedule.spans():
            at, until = begin * schedule.step_seconds, end * schedule.step_seconds
            if begin == 0 and at_zero < schedule.initial_pods:
                at_zero += 1
            else:
                changes.append((max(0.0, at - schedule.cold_start_seconds), 1))
            # The last pods of the load stay until all is served.
            if end < len(schedule.ready):
                changes.append((until, -1))
        cluster.fleet.begin_with(POOL, at_zero)
        for at, change in sorted(changes):
            cluster.kernel.at(self._begin_seconds + at, _Change(cluster, change))

    def woken(self) -> None:
        """See `Scaler.woken`."""


@dataclass(frozen=True)
class _Change:
    cluster: Cluster
    by: int

    def __call__(self) -> None:
        cluster = self.cluster
        wanted = cluster.fleet.wanted(POOL) + self.by
        if wanted == 0 and (cluster.queue.has_waiting or cluster.fleet.has_work):
            # The last pod stays until all is served.
            cluster.kernel.after(_LAST_SECONDS, self)
        else:
            cluster.resize(POOL, wanted)


def lowered(schedule: Schedule, begin: int, end: int, by: int) -> Schedule:
    """The same with `by` pods fewer in some steps (more, where it is negative)."""
    ready: Sequence[int] = [
        max(0, count - by) if begin <= step < end else count
        for step, count in enumerate(schedule.ready)
    ]
    return Schedule(
        tuple(ready), schedule.step_seconds, schedule.cold_start_seconds, schedule.initial_pods
    )
