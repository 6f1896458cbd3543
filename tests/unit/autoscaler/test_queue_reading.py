"""What the queue tells, as signals."""

from __future__ import annotations

import pytest

from facet.autoscaler.queue_reading import (
    MAX_TENANTS,
    Counters,
    arrivals_between,
    counters_of,
    leased_of,
    waiting_of,
)
from facet.autoscaler.work import Modality
from facet.queue.values import Priority
from facet.queue.views import ClassDepth, Depth, LeasedWork

pytestmark = pytest.mark.unit


def depth(**interactive: int) -> Depth:
    nothing = ClassDepth(0, 0, 0)
    of = {"requests": 0, "tokens": 0, "oldest_ms": 0} | interactive
    classes = {Priority.INTERACTIVE: ClassDepth(**of)}
    return Depth({**dict.fromkeys(Priority, nothing), **classes}, 0, 0, 0, 0.0, 100)


def test_tokens_are_parted_by_the_mean_output_when_requests_wait() -> None:
    waiting = waiting_of(depth(requests=3, tokens=1000, oldest_ms=2500))[Priority.INTERACTIVE]
    assert waiting.work.requests == 3
    assert waiting.work.output_tokens == 300
    assert waiting.work.prompt_tokens == {Modality.TEXT: 700}
    assert waiting.oldest_seconds == 2.5


def test_arrivals_are_differences_when_counters_grew() -> None:
    before = counters_of(depth(accepted_requests=10, accepted_tokens=5000), 100.0)
    after = counters_of(depth(accepted_requests=14, accepted_tokens=7000), 105.0)
    arrivals = arrivals_between(before, after, 100)
    assert arrivals is not None
    assert arrivals.interval_seconds == 5
    work = arrivals.classes[Priority.INTERACTIVE]
    assert (work.requests, work.output_tokens) == (4, 400)
    assert work.prompt_tokens == {Modality.TEXT: 1600}
    assert arrivals.classes[Priority.BATCH].requests == 0


@pytest.mark.parametrize(
    "before",
    [
        None,
        Counters(105.0, {Priority.INTERACTIVE: (1, 10)}),
        Counters(100.0, {Priority.INTERACTIVE: (20, 9000)}),
    ],
    ids=["the first look", "no time passed", "the store lost its data"],
)
def test_no_arrivals_are_told_when_counters_do_not_compare(before: Counters | None) -> None:
    after = counters_of(depth(accepted_requests=14, accepted_tokens=7000), 105.0)
    assert arrivals_between(before, after, 100) is None


def test_tenants_are_bounded_when_there_are_many() -> None:
    by_tenant = {f"t-{i}": 2.0 for i in range(MAX_TENANTS + 50)} | {"big": 9.0}
    leased = leased_of(LeasedWork(309, 1000.0, by_tenant))
    assert len(leased.by_tenant) == MAX_TENANTS + 1
    assert leased.by_tenant["big"] == 9
    assert leased.by_tenant["other"] == 2 * 51
    assert sum(leased.by_tenant.values()) == leased.requests
