"""What the policy decides: replicas by pool, and why, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Cause(StrEnum):
    """What set or limited a size."""

    BLIND = "blind"
    FORECAST = "forecast"
    BACKLOG = "backlog"
    LEASED = "leased"
    BATCH = "batch"
    SLO_BURN = "slo-burn"
    FROM_ZERO = "from-zero"
    IDLE = "idle"
    TO_ZERO = "to-zero"
    STABILISED = "stabilised"
    SURGE = "surge"
    SHRINK_RATE = "shrink-rate"
    TOLERANCE = "tolerance"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    COST_CAP = "cost-cap"
    EXHAUSTED = "exhausted"
    BACK_OFF = "back-off"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True)
class Reason:
    """A cause with its numbers, named with their units. `pool` is empty for all pools together.

    `detail` names what a number cannot: the missing signal, the class.
    """

    cause: Cause
    pool: str = ""
    detail: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """Replicas by pool, every configured pool among them. `reasons` in the order they applied.

    `is_blind`: the sizes are those held for lack of signals. A writer must not lower a pool then.
    """

    at_seconds: float
    replicas: Mapping[str, int]
    reasons: tuple[Reason, ...] = ()
    is_blind: bool = False

    @property
    def total(self) -> int:
        """Replicas of all pools together."""
        return sum(self.replicas.values())
