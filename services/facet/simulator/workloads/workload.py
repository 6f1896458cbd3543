"""A workload: requests in the order of their arrival, as often as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from facet.simulator.request import Request

Arrivals = Callable[[], Iterator[Request]]
"""Makes the same requests anew at each call, one after another: a day's are never all held."""


@dataclass(frozen=True)
class Workload:
    """`arrivals` within `duration_seconds` from 0."""

    name: str
    duration_seconds: float
    arrivals: Arrivals

    def rates(self, interval_seconds: float = 60.0) -> list[float]:
        """Requests a second, by interval."""
        counts = [0] * max(1, round(self.duration_seconds / interval_seconds))
        for request in self.arrivals():
            number = int(request.arrived_seconds / interval_seconds)
            counts[min(number, len(counts) - 1)] += 1
        return [count / interval_seconds for count in counts]


class Source(Protocol):
    """Something that can be scaled to a workload."""

    @property
    def name(self) -> str:
        """What it is called."""

    def scaled(self, load: float, seed: int) -> Workload:
        """`load` times as many requests a second, drawn from the seed."""


def first(arrivals: Arrivals, count: int) -> Iterable[Request]:
    """The first so many requests."""
    for number, request in enumerate(arrivals()):
        if number == count:
            return
        yield request
