"""SLO burn: where first tokens come late although sizes seemed right, more room is kept, and less
where they never do.

What a model of queues cannot know, such as requests that wait inside a worker or bursts that pods
swallow, shows in the share of misses. The margin follows it until that share is what is planned
("Adaptive conformal inference under distribution shift", Gibbs and Candes, 2021).
"""

from __future__ import annotations

from collections.abc import Mapping

from facet.autoscaler.decision import Cause, Reason
from facet.autoscaler.policy.settings import SloSettings
from facet.autoscaler.signals import Latency
from facet.queue.values import Priority

_RISE = 0.25
"""What one start-up time adds at `_WORST` times the permitted misses."""
_WORST = 5.0
PLANNED = 0.5
"""Share of the permitted misses that sizing uses up, and at which the margin rests; the rest is for
what nobody forecasts."""
_LEAST, _MOST = -0.3, 0.5


def margin_after(
    before: float,
    latency: Mapping[Priority, Latency],
    start_ups: float,
    slo: SloSettings,
    *,
    has_surplus: bool,
) -> tuple[float, tuple[Reason, ...]]:
    """The margin, a share of what is needed, after so many start-up times, and the reason.

    It may be below 0. While more pods serve than it asks for, or it asks for too few to serve at
    all (`has_surplus`), it does not fall: that the pods suffice tells nothing of fewer.
    """
    seen = latency.get(Priority.INTERACTIVE, Latency()).within_slo
    after = before
    if seen is not None:
        permitted = (1 - slo.attainment) or 1e-4
        burn = min(_WORST, (1 - seen) / permitted)
        change = _RISE * start_ups * (burn - PLANNED) / _WORST
        after = min(_MOST, max(_LEAST, before + change))
        if has_surplus:
            after = max(before, after)
    if after == 0.0:
        return after, ()
    numbers = {"margin_share": after, "slo": slo.attainment}
    if seen is not None:
        numbers["within_slo"] = seen
    return after, (Reason(Cause.SLO_BURN, numbers=numbers),)
