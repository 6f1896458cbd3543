"""What sets the number of pods sees and does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from facet.simulator.fleet import Fleet
from facet.simulator.kernel import Kernel
from facet.simulator.measures import Measures
from facet.simulator.queueing import SimulatedQueue

POOL = "on-demand"
"""The pool of those that know only one."""

SPOT = "spot"
"""Cheaper pods that may be lost, or not to be had."""


@dataclass(frozen=True)
class Cluster:
    """A simulation under way."""

    kernel: Kernel
    queue: SimulatedQueue
    fleet: Fleet
    measures: Measures

    def resize(self, pool: str, count: int) -> None:
        """Ask for so many pods."""
        if count != self.fleet.wanted(pool):
            self.measures.resized(self.kernel.now)
            self.fleet.resize(pool, count)


class Scaler(Protocol):
    """Sets the number of pods while the simulation runs."""

    def begin(self, cluster: Cluster, pods: int) -> None:
        """Have the first pods, `pods` where the load begins, and plan what comes at which time."""

    def woken(self) -> None:
        """A request came where there is no pod at all."""
