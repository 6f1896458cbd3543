"""The clairvoyant: a schedule of pods found by one who knows all arrivals.

It is judged by the simulation itself: same queue, pods and cold start. It begins with the cheapest
plan for what arrives in each step, misses being priced so that the SLO is just met, and then takes
pods away, or moves them, where the simulation still meets it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facet.simulator.measures import Measures
from facet.simulator.scaling.schedule import Schedule, Scheduled, lowered
from facet.simulator.simulation import Setting, Simulation
from facet.simulator.sizing import ATTAINMENT, Sizing, pod_seconds

_STEPS_A_START = 16
"""Steps of the schedule in one cold start: it is no use to change pods much more often."""

_FIRST_PRICE = 1.0
_DEARER = 8.0
_PRICES = 6
_RAISES = 4
_OVERLOAD = 1e9
_SMALL_STEPS = 12
"""Schedules of so few steps are improved by every range of steps, until nothing helps."""

_WINDOWS = (1, 4, 12, 24)
"""Parts of the time over which a pod is taken away, widest first."""
_LARGE_REQUESTS = 1_000_000
"""Requests that may be simulated to improve a large schedule."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Tried:
    """A schedule and how it did."""

    schedule: Schedule
    measures: Measures

    @property
    def is_good(self) -> bool:
        """Whether it meets the SLO, and serves all."""
        return self.measures.attainment >= ATTAINMENT and self.unserved == 0

    @property
    def unserved(self) -> int:
        """Requests that were never ended."""
        return self.measures.arrived - self.measures.ended_requests

    @property
    def lateness(self) -> tuple[int, int]:
        """What is compared of schedules that do not meet the SLO."""
        return self.unserved, self.measures.misses

    @property
    def cost(self) -> float:
        """Paid pod hours, as they were simulated."""
        return self.measures.pod_hours


class Clairvoyant:
    """Looks for the cheapest schedule that meets the SLO."""

    def __init__(
        self, setting: Setting, sizing: Sizing, interactive: int, *, tell: Tell, steps: int = 0
    ) -> None:
        self._setting = setting
        self._sizing = sizing
        self._tell = tell
        duration, cold = setting.workload.duration_seconds, setting.cold_start_seconds
        self._steps = steps or max(1, round(duration / max(cold / _STEPS_A_START, 1.0)))
        self._step_seconds = duration / self._steps
        self._requests = interactive
        self._simulated = 0
        self._loads = self._load_by_step()

    def find(self) -> Tried:
        """The cheapest that was found; the least late one where none meets the SLO."""
        best = self._priced()
        if self._steps <= _SMALL_STEPS:
            return self._improved_by_ranges(best)
        return self._improved_by_windows(best)

    def _try(self, schedule: Schedule, *, is_whole: bool = False) -> Tried:
        self._simulated += self._requests
        # One that has missed too many is not run to its end; what it cost does not count.
        most = math.inf if is_whole else (1.0 - ATTAINMENT) * self._requests
        scaler = Scheduled(schedule, self._setting.warm_up_seconds)
        run = Simulation(self._setting, scaler).run(most_misses=most)
        return Tried(schedule, run)

    def _priced(self) -> Tried:
        """The plan at the price of a miss at which the SLO is just met."""
        low, high = 0.0, _FIRST_PRICE * self._setting.cold_start_seconds
        best = self._try(self._plan(high), is_whole=True)
        for _ in range(_RAISES):
            if best.is_good:
                break
            low, high = high, high * _DEARER
            tried = self._try(self._plan(high), is_whole=True)
            best = min(best, tried, key=lambda each: each.lateness)
        else:
            # More pods do not help: what is missed no pod can serve in time.
            return best
        for _ in range(_PRICES):
            price = math.sqrt(max(low, high / _DEARER**2) * high)
            tried = self._try(self._plan(price))
            self._tell(f"a miss at {price:.1f} pod seconds: {tried.measures.attainment:.4f}")
            if tried.is_good and tried.cost <= best.cost:
                best = tried
            low, high = (low, price) if tried.is_good else (price, high)
        return best

    def _plan(self, price: float) -> Schedule:
        """Where pods, starts and misses together cost least, a miss at a price in pod seconds.

        Misses are those of a steady load as high as that of the step. Growing by a pod costs a cold
        start, so that the cheapest path through the sizes is found step by step.
        """
        setting, sizing = self._setting, self._sizing
        cold, initial = setting.cold_start_seconds, setting.initial_pods
        peak = max(self._loads) / self._step_seconds
        most = max(initial, 2 * sizing.pods_for(peak))
        if setting.warm_up_seconds:
            # Who knows the load has ordered its first pods before it begins.
            initial = most
        sizes = np.arange(most + 1)
        rates = np.array([sizing.rate(size) if size else 0.0 for size in range(len(sizes))])
        paths = []
        costs = np.where(sizes <= initial, 0.0, np.inf)
        for step, load in enumerate(self._loads):
            grown = np.minimum.accumulate(costs - cold * sizes) + cold * sizes
            kept = np.minimum.accumulate(costs[::-1])[::-1]
            paths.append(costs)
            with np.errstate(divide="ignore", invalid="ignore"):
                use = np.nan_to_num(load / self._step_seconds / rates, posinf=_OVERLOAD)
            late = np.interp(use, sizing.uses, sizing.missed, right=1.0)
            costs = np.minimum(grown, kept) + self._step_seconds * sizes + price * load * late
            if step * self._step_seconds < cold:
                costs = np.where(sizes <= initial, costs, np.inf)
        ready = [int(costs.argmin())]
        for costs in reversed(paths[1:]):
            ready.append(int((costs + cold * np.maximum(0, ready[-1] - sizes)).argmin()))
        return Schedule(tuple(reversed(ready)), self._step_seconds, cold, initial)

    def _load_by_step(self) -> list[float]:
        """What arrives in each step, in average requests: long ones count more."""
        model, loads, requests = self._setting.model, [0.0] * self._steps, 0
        total = 0.0
        for request in self._setting.workload.arrivals():
            step = min(int(request.arrived_seconds / self._step_seconds), self._steps - 1)
            cost = pod_seconds(model, (request,))
            loads[step] += cost
            total += cost
            requests += 1
        return [load * requests / total for load in loads]

    def _improved_by_ranges(self, best: Tried) -> Tried:
        """Take away, or move, a pod over any range of steps, while that is cheaper."""
        ranges = [(i, j) for i in range(self._steps) for j in range(i + 1, self._steps + 1)]
        ranges.sort(key=lambda each: each[0] - each[1])
        seen = {best.schedule.ready}
        while True:
            single = [lowered(best.schedule, *each, 1) for each in ranges]
            more = [lowered(best.schedule, *each, -1) for each in ranges]
            moved = [lowered(each, *there, 1) for each in more for there in ranges]
            tried = [*single, *moved] if best.is_good else [*more, *moved]
            better = self._first_better(best, tried, seen)
            if better is None:
                return best
            best = better

    def _first_better(
        self, best: Tried, schedules: list[Schedule], seen: set[tuple[int, ...]]
    ) -> Tried | None:
        for schedule in schedules:
            if schedule.ready in seen or not schedule.is_possible:
                continue
            if best.is_good and schedule.pod_seconds() > best.schedule.pod_seconds():
                continue
            seen.add(schedule.ready)
            tried = self._try(schedule, is_whole=not best.is_good)
            if not best.is_good:
                if tried.lateness < best.lateness:
                    return tried
            elif tried.is_good and tried.cost < best.cost:
                return tried
        return None

    def _improved_by_windows(self, best: Tried) -> Tried:
        """Take a pod away over one part of the time after the other, while the SLO is met."""
        if not best.is_good:
            return best
        for share in _WINDOWS:
            width = -(-self._steps // share)
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
                    self._tell(f"{best.cost:.2f} pod hours")
        return best
