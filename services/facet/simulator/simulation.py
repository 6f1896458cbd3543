"""One run: a workload, a fleet, and who sets its size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from facet.queue.values import Priority
from facet.simulator.faults import Faults
from facet.simulator.fleet import Fleet
from facet.simulator.kernel import Kernel
from facet.simulator.measures import Measures
from facet.simulator.pod_model import PodModel
from facet.simulator.queueing import SimulatedQueue
from facet.simulator.request import Request
from facet.simulator.scaling.port import Cluster, Scaler
from facet.simulator.workloads.workload import Workload

SAMPLE_SECONDS = 15.0
_PATIENCE_SECONDS = 6 * 3600.0
"""A run goes on for so long after the last arrival where requests are left."""


@dataclass(frozen=True)
class Setting:
    """What all policies of a comparison have alike. `initial_pods` are there, ready, at 0.

    For `warm_up_seconds` the first `warm_up_of_seconds` of the load are played again and again,
    unmeasured; the load itself begins after that.
    """

    model: PodModel
    workload: Workload
    initial_pods: int
    cold_start_seconds: float = 240.0
    ttft_slo_seconds: float = 2.0
    faults: Callable[[], Faults] = field(default=Faults)
    warm_up_seconds: float = 0.0
    warm_up_of_seconds: float = 300.0

    @property
    def end_seconds(self) -> float:
        """When the load ends, in the simulation's time."""
        return self.warm_up_seconds + self.workload.duration_seconds

    def arrivals(self) -> Iterator[Request]:
        """Warm-up and load, in the simulation's time."""
        part = min(self.warm_up_of_seconds, self.workload.duration_seconds)
        begin = 0.0
        while begin < self.warm_up_seconds:
            for request in self.workload.arrivals():
                at = begin + request.arrived_seconds
                if request.arrived_seconds >= part or at >= self.warm_up_seconds:
                    break
                request.arrived_seconds = at
                yield request
            begin += part
        for request in self.workload.arrivals():
            request.arrived_seconds += self.warm_up_seconds
            yield request


class Simulation:
    """Runs once. Pods are paid from the request for them until they are gone, or all is served."""

    def __init__(
        self, setting: Setting, scaler: Scaler, *, tell: Callable[[float, int], None] | None = None
    ) -> None:
        self.measures = Measures(setting.ttft_slo_seconds, setting.warm_up_seconds)
        self._setting = setting
        self._kernel = Kernel()
        self._queue = SimulatedQueue(lambda: self._kernel.now)
        self._fleet = Fleet(
            self._kernel,
            self._queue,
            setting.model,
            self.measures,
            cold_start_seconds=setting.cold_start_seconds,
            faults=setting.faults(),
        )
        self._scaler = scaler
        self._tell = tell
        self._arrivals: Iterator[Request] = setting.arrivals()
        self._has_arrived = False
        self._most_misses = math.inf

    def run(self, *, most_misses: float = math.inf) -> Measures:
        """Run to the end, or until there were more misses than `most_misses`."""
        self._most_misses = most_misses
        end = self._setting.end_seconds
        cluster = Cluster(self._kernel, self._queue, self._fleet, self.measures)
        self._scaler.begin(cluster, self._setting.initial_pods)
        self._sample()
        self._await_next()
        self._kernel.at(end, lambda: None)
        self._kernel.run(self._is_over, end + _PATIENCE_SECONDS)
        self._fleet.close()
        return self.measures

    def _is_over(self) -> bool:
        measures = self.measures
        if measures.late > self._most_misses:
            return True
        return (
            self._has_arrived
            and measures.ended_requests == measures.arrived
            and self._kernel.now >= self._setting.end_seconds
        )

    def _await_next(self) -> None:
        request = next(self._arrivals, None)
        if request is None:
            self._has_arrived = True
        else:
            self._kernel.at(request.arrived_seconds, partial(self._arrive, request))

    def _arrive(self, request: Request) -> None:
        self.measures.submitted(request)
        self._fleet.submit(request)
        if not self._fleet.pods:
            self._scaler.woken()
        self._await_next()

    def _sample(self) -> None:
        pods = list(self._fleet.pods.values())
        ready, now = sum(pod.is_ready for pod in pods), self._kernel.now
        measures = self.measures
        oldest = self._queue.oldest_seconds(Priority.INTERACTIVE)
        measures.sample(now, ready, len(pods), oldest)
        if self._tell:
            self._tell(now, measures.arrived)
        self._kernel.after(SAMPLE_SECONDS, self._sample)
