"""The arithmetic of Kubernetes' HorizontalPodAutoscaler, as its controller does it.

Source: kubernetes/pkg/controller/podautoscaler (replica_calculator.go, horizontal.go), and the
algorithm in the Kubernetes documentation. Only what a pool of workers meets.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

SYNC_SECONDS = 15.0
"""The controller's sync period."""

TOLERANCE = 0.1
"""The controller's default: a ratio so near to 1 changes nothing."""


def replicas_for_total(total: float, target: float, replicas: int, tolerance: float) -> int:
    """For an external metric with a target of its average by pod."""
    if replicas == 0:
        return math.ceil(total / target)
    if _is_within(total / (target * replicas), tolerance):
        return replicas
    return math.ceil(total / target)


def replicas_for_pods(
    uses: Sequence[float], target: float, *, silent: int, pending: int, tolerance: float
) -> int:
    """For a metric of the pods with a target of its average.

    `uses` are those of the pods that told one; `silent` pods run and told none, `pending` ones do
    not run yet. Against a rise both count as idle; against a fall silent ones count as on target.
    """
    replicas = len(uses) + silent + pending
    if not uses:
        return replicas
    ratio = sum(uses) / len(uses) / target
    counts_pending = pending > 0 and ratio > 1.0
    if not counts_pending and not silent:
        return replicas if _is_within(ratio, tolerance) else math.ceil(ratio * len(uses))
    total, counted = sum(uses), len(uses) + silent
    if ratio < 1.0:
        total += silent * target
    if counts_pending:
        counted += pending
    filled = total / counted / target
    has_turned = (ratio < 1.0 < filled) or (ratio > 1.0 > filled)
    if _is_within(filled, tolerance) or has_turned:
        return replicas
    wanted = math.ceil(filled * counted)
    is_contrary = (filled < 1.0 and wanted > replicas) or (filled > 1.0 and wanted < replicas)
    return replicas if is_contrary else wanted


def _is_within(ratio: float, tolerance: float) -> bool:
    return 1.0 - tolerance <= ratio <= 1.0 + tolerance


@dataclass(frozen=True)
class Behavior:
    """`spec.behavior`, and the bounds. `up_pods` and `up_share` limit a rise in `SYNC_SECONDS`, the
    more generous counts; a fall follows the highest wish of `down_window_seconds`.
    """

    min_pods: int
    max_pods: int
    down_window_seconds: float = 300.0
    up_pods: float = 4
    up_share: float = 1.0


UNSMOOTHED = {"down_window_seconds": 0.0, "up_pods": math.inf, "up_share": math.inf}
"""The behavior of a ScaledObject that carries a decision which is already smoothed."""


class Stabiliser:
    """Turns what the metrics recommend into what is asked for; remembers the window."""

    def __init__(self, behavior: Behavior) -> None:
        self._behavior = behavior
        self._recommended: deque[tuple[float, int]] = deque()

    def begin(self, current: int, now: float) -> None:
        """The controller's first look counts as a recommendation of what it finds."""
        self._recommended.append((now, current))

    def replicas(self, recommended: int, current: int, now: float) -> int:
        """What is asked for at this sync."""
        kept, behavior = self._recommended, self._behavior
        while kept and kept[0][0] < now - behavior.down_window_seconds:
            kept.popleft()
        while kept and kept[-1][1] <= recommended:
            kept.pop()
        kept.append((now, recommended))
        wanted = max(recommended, min(current, kept[0][1]))
        rise = max(current + behavior.up_pods, current * (1.0 + behavior.up_share))
        most = behavior.max_pods if math.isinf(rise) else min(behavior.max_pods, math.ceil(rise))
        return max(behavior.min_pods, min(wanted, most))
