"""A pool, and signals of one moment, with what a test does not care about filled in."""

from __future__ import annotations

from facet.autoscaler.coefficients import ServiceCoefficients
from facet.autoscaler.policy import PolicySettings, PoolSettings
from facet.autoscaler.signals import (
    Arrivals,
    LeasedWork,
    Phase,
    Pod,
    Reading,
    Signals,
    WaitingWork,
)
from facet.autoscaler.work import Modality, Work
from facet.queue.values import Priority

COLD_START = 240.0
COEFFICIENTS = ServiceCoefficients(0.05, {Modality.TEXT: 1e-4}, 0.03, 0.001, 2.0)
INTERVAL = 10.0


def pool(name: str = "first", **changes: object) -> PoolSettings:
    values: dict[str, object] = {
        "max_sequences": 16,
        "startup_seconds": COLD_START,
        "coefficients": COEFFICIENTS,
    }
    return PoolSettings(name, **(values | changes))  # type: ignore[arg-type]


def settings(*pools: PoolSettings, **changes: object) -> PolicySettings:
    return PolicySettings(pools or (pool(),), **changes)  # type: ignore[arg-type]


def work(requests: float) -> Work:
    """Chats of 1,000 tokens, answered with 400."""
    return Work(requests, {Modality.TEXT: 1000.0 * requests}, 400.0 * requests)


def pods(
    count: int, name: str = "first", phase: Phase = Phase.READY, age: float = 1e5
) -> list[Pod]:
    return [Pod(f"{name}-{phase}-{i}", name, phase, age, age) for i in range(count)]


def signals(
    at: float,
    found: list[Pod],
    *,
    waiting: float = 0,
    batch: float = 0,
    oldest: float = 0,
    leased: int = 0,
    arrived: float | None = 0,
) -> Signals:
    """`arrived` requests in the last interval, None for no such reading."""
    return Signals(
        at,
        queue=Reading(
            {
                Priority.INTERACTIVE: WaitingWork(work(waiting), oldest if waiting else 0),
                Priority.BATCH: WaitingWork(work(batch), oldest if batch else 0),
            }
        ),
        leased=Reading(LeasedWork(leased, by_tenant={"a": leased} if leased else {})),
        arrivals=Reading(Arrivals(INTERVAL, {Priority.INTERACTIVE: work(arrived)}))
        if arrived is not None
        else Reading(),
        pods=Reading(tuple(found)),
    )
