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

    A pod is kept for as long after it was wanted as starting another one in its place would take
    (ski rental). Growth and shrinking are bounded within the same time.
    """
    reasons = []
    held = max((each.wanted for each in history), default=0)
    if held > wanted:
        numbers = {"wanted": wanted, "held": held}
        reasons.append(Reason(Cause.STABILISED, numbers=numbers))
    size = max(wanted, held)
    smallest = min((each.least for each in history), default=1)
    most = math.ceil((1 + settings.max_surge) * max(1, smallest))
    if size > most:
        reasons.append(Reason(Cause.SURGE, numbers={"wanted": size, "most": most}))
        size = most
    largest = max((each.most for each in history), default=0)
    least = math.ceil((1 - settings.max_shrink) * largest)
    if size < least:
        reasons.append(Reason(Cause.SHRINK_RATE, numbers={"wanted": size, "least": least}))
        size = least
    return size, tuple(reasons)


def noticed(size: int, there: int, settings: PolicySettings) -> tuple[int, tuple[Reason, ...]]:
    """A growth that the writer of replicas does not ignore, `there` being what it has."""
    most_ignored = math.floor(there * (1 + settings.tolerance))
    if not there < size <= most_ignored:
        return size, ()
    numbers = {"wanted": size, "there": there, "asked": most_ignored + 1}
    return most_ignored + 1, (Reason(Cause.TOLERANCE, numbers=numbers),)


def remembered(history: tuple[Sized, ...], size: Sized, apart_seconds: float) -> tuple[Sized, ...]:
    """The history with one decision more; those less than `apart_seconds` apart are one."""
    if not history or size.at_seconds - history[-1].at_seconds >= apart_seconds:
        return (*history, size)
    *before, last = history
    joined = Sized(
        last.at_seconds,
        max(last.wanted, size.wanted),
        min(last.least, size.least),
        max(last.most, size.most),
    )
    return (*before, joined)
