"""What the benchmarks report: percentiles, and figures beside the bounds that are wanted."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

_STARTED = time.monotonic()


@dataclass(frozen=True)
class Wanted:
    """A figure and the bound on it: at most, or at least with `is_floor`."""

    value: float
    bound: float
    is_floor: bool = False

    def to_json(self) -> dict[str, float | bool]:
        """The figure, its bound and whether it is met."""
        is_met = self.value >= self.bound if self.is_floor else self.value <= self.bound
        return {"value": self.value, "bound": self.bound, "ok": is_met}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed. Errors: ValueError if none."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def percentile_of_counts(counts: Mapping[int, int], share: float) -> int:
    """`percentile` of values that come with how often each occurred."""
    wanted = share * sum(counts.values())
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    raise ValueError("no values")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and mean, to a tenth."""
    return {
        "p50": round(median(values), 1),
        "p99": round(percentile(values, 0.99), 1),
        "mean": round(mean(values), 1),
    }


def report(figures: Mapping[str, Any], wanted: Mapping[str, Wanted], zeros: Iterable[str]) -> int:
    """Print all of it as one line; 0 where the named figures are zero, else 1."""
    is_whole = all(figures[name] == 0 for name in zeros)
    met = {name: bound.to_json() for name, bound in wanted.items()}
    print(json.dumps({"ok": is_whole, **figures, "wanted": met}), flush=True)
    return 0 if is_whole else 1


def say(text: str) -> None:
    """Tell on standard error how far the run is."""
    sys.stderr.write(f"{time.monotonic() - _STARTED:7.1f} s  {text}\n")
    sys.stderr.flush()
