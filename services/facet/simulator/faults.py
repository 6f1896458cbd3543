"""What goes wrong in a simulation: lost spot nodes, stock-outs, failing engines."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

_HOUR = 3600.0


@dataclass(frozen=True)
class PoolFaults:
    """Of one pool: losses of nodes and failures of engines, each for a pod and hour, by chance.

    In each of `stock_outs`, from and to in seconds, no new pod gets a node.
    """

    losses_per_hour: float = 0.0
    failures_per_hour: float = 0.0
    stock_outs: tuple[tuple[float, float], ...] = ()


@dataclass
class Faults:
    """Faults by pool, drawn from one seed; a pool that is not named has none."""

    pools: Mapping[str, PoolFaults] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - a simulation

    def has_node(self, pool: str, now: float) -> bool:
        """Whether a new pod gets a node."""
        return not any(begin <= now < end for begin, end in self._of(pool).stock_outs)

    def loss_after(self, pool: str) -> float | None:
        """Seconds until a pod's node is lost, None for never."""
        return self._drawn(self._of(pool).losses_per_hour)

    def failure_after(self, pool: str) -> float | None:
        """Seconds until a pod's engine fails, None for never."""
        return self._drawn(self._of(pool).failures_per_hour)

    def _of(self, pool: str) -> PoolFaults:
        return self.pools.get(pool, PoolFaults())

    def _drawn(self, per_hour: float) -> float | None:
        return self._chance.expovariate(per_hour / _HOUR) if per_hour > 0 else None
