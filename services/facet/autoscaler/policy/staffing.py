"""How many sequences must find room so that requests wait no longer than promised.

Many-server queues in the regime of Halfin and Whitt ("Heavy-traffic limits for queues with many
exponential servers", 1981): with N places for a mean of r sequences, the share that waits depends
on (N - r) / sqrt(r), and what waits leaves at rate N - r over the residence time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()
_NODES = 9
_ERRORS = tuple(_NORMAL.inv_cdf((index + 0.5) / _NODES) for index in range(_NODES))
"""Equally likely forecast errors, in standard deviations."""

_TINY = 1e-9
_NEVER = 8.0
"""Standard deviations that are never seen; the density is too small to divide by."""


@dataclass(frozen=True)
class Demand:
    """Load that is to be served, all in sequences of a full batch.

    `urgent` is the part of `load` that is served first and must not wait longer than
    `urgent_wait_seconds`; the rest `wait_seconds`. `residence_seconds` is how long a request stays.
    `peakedness` is the variance of the number of sequences over its mean, 1 for Poisson arrivals.
    `slowing` is the share of a full batch's residence that would remain in an empty pod: pods that
    are less than full are faster. `error` is the standard deviation of the forecast, as a share.
    `is_filled`: lower classes take all room that is left.
    """

    load: float
    urgent: float
    urgent_wait_seconds: float
    wait_seconds: float
    residence_seconds: float
    peakedness: float = 1.0
    slowing: float = 1.0
    error: float = 0.0
    is_filled: bool = False


def places_for(demand: Demand, misses: float) -> float:
    """The fewest places at which at most the share `misses` waits too long. 0 for no load."""
    if demand.load <= 0:
        return 0.0
    low, high = demand.load, 2 * demand.load + 1
    while missed_share(demand, high) > misses:
        low, high = high, 2 * high
    for _ in range(24):
        middle = (low + high) / 2
        if missed_share(demand, middle) > misses:
            low = middle
        else:
            high = middle
    return high


def missed_share(demand: Demand, places: float) -> float:
    """The share of requests, averaged over forecast errors, that waits too long."""
    if demand.error <= 0:
        return _missed(demand, places, 1.0)
    shares = (_missed(demand, places, max(0.0, 1 + each * demand.error)) for each in _ERRORS)
    return sum(shares) / _NODES


def _missed(demand: Demand, places: float, factor: float) -> float:
    load, urgent = demand.load * factor, demand.urgent * factor
    if load <= 0:
        return 0.0
    room = places - load
    if room <= 0:
        return 1.0
    waiting = 1.0
    if not demand.is_filled:
        beta = room / math.sqrt(max(demand.peakedness * demand.slowing * load, _TINY))
        waiting = 1 / (1 + beta * _NORMAL.cdf(beta) / _NORMAL.pdf(beta)) if beta < _NEVER else 0.0
    scale = max(demand.residence_seconds * demand.peakedness, _TINY)
    late = waiting * math.exp(-room * demand.wait_seconds / scale) if urgent < load else 0.0
    if urgent <= 0:
        return late
    urgent_room = places - urgent
    hurried = waiting * math.exp(-urgent_room * demand.urgent_wait_seconds / scale)
    return max(late, hurried)
