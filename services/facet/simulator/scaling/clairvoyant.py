"""The clairvoyant: a schedule of pods found by one who knows all arrivals.

It is judged by the simulation itself: same queue, pods and cold start. It begins with what a fluid
of the arrivals needs, scaled to the fewest pods that meet the SLO, and takes pods away wherever the
misses that the SLO allows buy most.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from facet.simulator.measures import Measures
from facet.simulator.scaling.schedule import Schedule, Scheduled, lowered
from facet.simulator.simulation import Setting, Simulation
from facet.simulator.sizing import ATTAINMENT, Sizing

_STEPS_A_START = 16
"""Steps of the schedule in one cold start: it is no use to change pods much more often."""

_SMOOTHED_STEPS = 4
_SMALL_STEPS = 12
"""Schedules of so few steps are improved by every range of steps, until nothing helps."""

_SCALINGS = 5
_WINDOWS = 24
_LARGE_REQUESTS = 4_000_000
"""Requests that may be simulated to improve a large schedule."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Tried:
    """A schedule and how it did."""

    schedule: Schedule
    measures: Measures

    @property
    def is_good(self) -> bool:
        """Whether it meets the SLO."""
        return self.measures.attainment >= ATTAINMENT

    @property
    def cost(self) -> float:
        """Paid pod hours, as they were simulated."""
        return self.measures.pod_hours


class Clairvoyant:
    """Looks for the cheapest schedule that meets the SLO."""

    def __init__(self, setting: Setting, sizing: Sizing, *, tell: Tell, steps: int = 0) -> None:
        self._setting = setting
        self._sizing = sizing
        self._tell = tell
        duration, cold = setting.workload.duration_seconds, setting.cold_start_seconds
        self._steps = steps or max(1, round(duration / max(cold / _STEPS_A_START, 1.0)))
        self._step_seconds = duration / self._steps
        self._requests = sum(1 for _ in setting.workload.arrivals())
        self._simulated = 0

    def find(self) -> Tried:
        """The cheapest that was found; the least late one where none meets the SLO."""
        best = self._scaled()
        if self._steps <= _SMALL_STEPS:
            return self._improved_by_ranges(best)
        return self._improved_by_windows(best)

    def _try(self, schedule: Schedule) -> Tried:
        self._simulated += self._requests
        return Tried(schedule, Simulation(self._setting, Scheduled(schedule)).run())

    def _scaled(self) -> Tried:
        """The fluid's need, as often as is just enough."""
        low, high = 0.5, 1.0
        best = self._try(self._fluid(high))
        while not best.is_good and high < 4.0:
            low, high = high, high * 1.25
            tried = self._try(self._fluid(high))
            if tried.measures.misses > 0.98 * best.measures.misses:
                # More pods do not help: what is missed no pod can serve in time.
                return best
            best = tried
        for _ in range(_SCALINGS):
            middle = (low + high) / 2
            tried = self._try(self._fluid(middle))
            self._tell(f"clairvoyant: {middle:.3f} of the need, {tried.measures.attainment:.4f}")
            if tried.is_good and tried.cost <= best.cost:
                best = tried
            low, high = (low, middle) if tried.is_good else (middle, high)
        return best

    def _fluid(self, factor: float) -> Schedule:
        """What each step needs, the rate smoothed over a quarter of a cold start."""
        counts = [0.0] * self._steps
        for request in self._setting.workload.arrivals():
            counts[min(int(request.arrived_seconds / self._step_seconds), self._steps - 1)] += 1
        ready = []
        around = 0 if self._steps <= _SMALL_STEPS else _SMOOTHED_STEPS // 2
        for step in range(self._steps):
            near = counts[max(0, step - around) : step + around + 1]
            rate = factor * sum(near) / (len(near) * self._step_seconds)
            ready.append(self._sizing.pods_for(rate))
        return self._possible(ready)

    def _possible(self, ready: list[int]) -> Schedule:
        cold, initial = self._setting.cold_start_seconds, self._setting.initial_pods
        schedule = Schedule(tuple(ready), self._step_seconds, cold, initial)
        unstartable = -int(-cold // self._step_seconds)
        bounded = [min(n, initial) if i < unstartable else n for i, n in enumerate(ready)]
        return dataclasses.replace(schedule, ready=tuple(bounded))

    def _improved_by_ranges(self, best: Tried) -> Tried:
        """Take away, or move, a pod over any range of steps, while that is cheaper."""
        ranges = [(i, j) for i in range(self._steps) for j in range(i + 1, self._steps + 1)]
        ranges.sort(key=lambda each: each[0] - each[1])
        seen = {best.schedule.ready}
        while True:
            single = [lowered(best.schedule, *each, 1) for each in ranges]
            more = [lowered(best.schedule, *each, -1) for each in ranges]
            moved = [lowered(each, *there, 1) for each in more for there in ranges]
            better = self._first_better(best, [*single, *moved], seen)
            if better is None:
                return best
            best = better

    def _first_better(
        self, best: Tried, schedules: list[Schedule], seen: set[tuple[int, ...]]
    ) -> Tried | None:
        for schedule in schedules:
            if schedule.ready in seen or not schedule.is_possible:
                continue
            if schedule.pod_seconds() > best.schedule.pod_seconds():
                continue
            seen.add(schedule.ready)
            tried = self._try(schedule)
            if not best.is_good:
                if tried.measures.misses < best.measures.misses:
                    return tried
            elif tried.is_good and tried.cost < best.cost:
                return tried
        return None

    def _improved_by_windows(self, best: Tried) -> Tried:
        """Take a pod away over one part of the time after the other, while the SLO is met."""
        if not best.is_good:
            return best
        width = max(1, self._steps // _WINDOWS)
        starts = list(range(0, self._steps, width))
        # Where most pods are, one less is felt least.
        starts.sort(key=lambda i: -sum(best.schedule.ready[i : i + width]))
        for start in starts:
            if self._simulated + self._requests > _LARGE_REQUESTS:
                return best
            schedule = lowered(best.schedule, start, start + width, 1)
            if schedule.pod_seconds() >= best.schedule.pod_seconds():
                continue
            tried = self._try(schedule)
            if tried.is_good and tried.cost < best.cost:
                best = tried
                self._tell(f"clairvoyant: {best.cost:.2f} pod hours")
        return best
