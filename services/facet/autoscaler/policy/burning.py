"""SLO burn: where first tokens come late although sizes seemed right, misses are planned fewer."""

from __future__ import annotations

from collections.abc import Mapping

from facet.autoscaler.decision import Cause, Reason
from facet.autoscaler.policy.settings import SloSettings
from facet.autoscaler.signals import Latency
from facet.queue.values import Priority

_STRICTEST = 1 / 16
"""Beyond it more pods would not help: what burns then is no queue."""
_RELIEF = 4.0
"""Start-up times without burning that undo one of burning."""


def strictness_after(
    before: float,
    latency: Mapping[Priority, Latency],
    start_ups: float,
    slo: SloSettings,
) -> tuple[float, tuple[Reason, ...]]:
    """Strictness after so many start-up times, halved by each that burns, and the reason."""
    seen = latency.get(Priority.INTERACTIVE, Latency()).within_slo
    after = before
    if seen is not None:
        change = -start_ups if seen < slo.attainment else start_ups / _RELIEF
        after = min(1.0, max(_STRICTEST, before * 2.0**change))
    if after == 1.0:
        return after, ()
    numbers = {"strictness": after, "slo": slo.attainment}
    if seen is not None:
        numbers["within_slo"] = seen
    return after, (Reason(Cause.SLO_BURN, numbers=numbers),)
