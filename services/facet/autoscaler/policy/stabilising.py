"""Limits over time: growing is cheap to undo, shrinking costs a start-up to undo."""

from __future__ import annotations

import math
from collections.abc import Sequence

from facet.autoscaler.decision import Cause, Reason
from facet.autoscaler.policy.settings import PolicySettings
from facet.autoscaler.policy.state import Sized


def stabilised(
    wanted: int, history: Sequence[Sized], settings: PolicySettings
) -> tuple[int, tuple[Reason, ...]]:
    """`wanted` within what the sizes of the last start-up time (`history`) permit.

    An idle pod costs as much in one start-up time as starting another one in its place does, so
    a pod is kept as long as it was wanted within that time: at worst twice the least cost
    (ski rental).
    """
    reasons = []
    held = max((each.wanted for each in history), default=0)
    if held > wanted:
        numbers = {"wanted": wanted, "held": held}
        reasons.append(Reason(Cause.STABILISED, numbers=numbers))
    size = max(wanted, held)
    given = [each.given for each in history]
    most = math.ceil((1 + settings.max_surge) * max(1, min(given, default=1)))
    if size > most:
        reasons.append(Reason(Cause.SURGE, numbers={"wanted": size, "most": most}))
        size = most
    least = math.ceil((1 - settings.max_shrink) * max(given, default=0))
    if size < least:
        reasons.append(Reason(Cause.SHRINK_RATE, numbers={"wanted": size, "least": least}))
        size = least
    return size, tuple(reasons)


def within(history: Sequence[Sized], since_seconds: float) -> tuple[Sized, ...]:
    """The part of the history that counts."""
    return tuple(each for each in history if each.at_seconds >= since_seconds)
