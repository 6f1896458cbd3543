"""When a broken call is made again."""

from __future__ import annotations

import grpc
import pytest

from facet.client.errors import FacetApiError
from facet.client.persistence import (
    FIRST_DELAY_SECONDS,
    MAX_DELAY_SECONDS,
    PATIENCE_SECONDS,
    Persistence,
    is_broken,
)

pytestmark = pytest.mark.unit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def wait_out(persistence: Persistence, clock: Clock, **options: float) -> list[float]:
    """All delays until it gives up."""
    delays = []
    while (delay := persistence.next_delay_seconds(**options)) is not None:
        delays.append(delay)
        clock.now += delay
    return delays


def test_delays_double_up_to_a_bound_when_a_call_breaks_again_and_again() -> None:
    clock = Clock()

    delays = wait_out(Persistence(1000, clock), clock)

    for index, delay in enumerate(delays):
        most = min(FIRST_DELAY_SECONDS * 2**index, MAX_DELAY_SECONDS)
        assert 0.75 * most <= delay <= most
    assert PATIENCE_SECONDS - MAX_DELAY_SECONDS <= sum(delays) < PATIENCE_SECONDS


def test_it_gives_up_when_the_deadline_would_pass() -> None:
    clock = Clock()
    persistence = Persistence(5, clock)

    assert 5 - MAX_DELAY_SECONDS <= sum(wait_out(persistence, clock)) < 5
    assert 0 < persistence.remaining_seconds <= MAX_DELAY_SECONDS
    clock.now += 10
    assert persistence.remaining_seconds == 0


def test_it_gives_up_early_when_told_so() -> None:
    clock = Clock()

    assert sum(wait_out(Persistence(1000, clock), clock, patience_seconds=3)) < 3


def test_patience_begins_anew_when_something_arrived() -> None:
    clock = Clock()
    persistence = Persistence(1000, clock)
    wait_out(persistence, clock)

    persistence.progressed()

    delays = wait_out(persistence, clock)
    assert delays[0] <= FIRST_DELAY_SECONDS
    assert sum(delays) > PATIENCE_SECONDS - MAX_DELAY_SECONDS


@pytest.mark.parametrize(
    ("code", "reason", "broke"),
    [
        (grpc.StatusCode.UNAVAILABLE, "", True),
        (grpc.StatusCode.UNAVAILABLE, "GATEWAY_DRAINING", True),
        (grpc.StatusCode.CANCELLED, "", True),
        (grpc.StatusCode.CANCELLED, "CANCELLED", False),
        (grpc.StatusCode.INTERNAL, "", True),
        (grpc.StatusCode.INTERNAL, "INTERNAL", False),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", False),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "", False),
        (grpc.StatusCode.UNKNOWN, "", False),
    ],
)
def test_only_a_missing_gateway_counts_when_a_call_fails(
    code: grpc.StatusCode, reason: str, *, broke: bool
) -> None:
    assert is_broken(FacetApiError(code, "why", reason=reason)) is broke
