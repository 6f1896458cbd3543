"""Start-up times of pods by pool, learned as they become ready."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from facet.autoscaler.signals import Phase, Pod, StartUp

_MEMORY = 20
"""About so many of the last starts count."""

_MAX_PODS = 1000
"""Pods that are followed; those beyond teach nothing."""


@dataclass(frozen=True)
class StartupTimes:
    """What is known of each pool, and of its pods.

    `starting` has how long pods that were never ready have looked for a node so far, `started_pods`
    the names of those that were: what makes them ready once more is no start-up.
    """

    pools: Mapping[str, StartUp] = field(default_factory=dict)
    starting: Mapping[str, float] = field(default_factory=dict)
    started_pods: tuple[str, ...] = ()

    def observed(self, pods: Iterable[Pod]) -> StartupTimes:
        """After another look: a pod counts that was seen starting before and is ready now.

        Looking for a node is not in its time: how long that takes tells of the pool's stock.
        """
        after = self
        starting: dict[str, float] = {}
        started: list[str] = []
        known = frozenset(self.started_pods)
        for pod in pods:
            if len(starting) + len(started) >= _MAX_PODS:
                break
            if pod.phase is Phase.READY or pod.name in known:
                started.append(pod.name)
                if pod.name in self.starting:
                    seconds = pod.age_seconds - pod.phase_seconds - self.starting[pod.name]
                    after = after.started(pod.pool, seconds)
            elif pod.phase is not Phase.TERMINATING:
                is_lost = pod.phase is Phase.UNSCHEDULABLE
                so_far = self.starting.get(pod.name, 0.0)
                starting[pod.name] = max(so_far, pod.phase_seconds) if is_lost else so_far
        return replace(after, starting=starting, started_pods=tuple(started))

    def started(self, pool: str, seconds: float) -> StartupTimes:
        """After one more start of the pool."""
        if not (math.isfinite(seconds) and seconds > 0):
            return self
        past = self.pools.get(pool)
        if past is None:
            return replace(self, pools={**self.pools, pool: StartUp(seconds)})
        gain = max(1 / (past.samples + 1), 1 / _MEMORY)
        error = seconds - past.mean_seconds
        variance = (1 - gain) * (past.deviation_seconds**2 + gain * error**2)
        now = StartUp(past.mean_seconds + gain * error, math.sqrt(variance), past.samples + 1)
        return replace(self, pools={**self.pools, pool: now})
