"""What waits, what runs and what arrived, from the queue in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from facet.autoscaler.signals import Arrivals, LeasedWork, WaitingWork
from facet.autoscaler.work import Modality, Work
from facet.queue import views
from facet.queue.values import Priority

MAX_TENANTS = 100
"""Tenants of leased work that are told apart; the others are "other"."""

_OTHER = "other"


@dataclass(frozen=True)
class Counters:
    """What had been accepted at a time: requests and tokens by class."""

    at_seconds: float
    classes: Mapping[Priority, tuple[int, int]] = field(default_factory=dict)


def waiting_of(depth: views.Depth) -> dict[Priority, WaitingWork]:
    """What waits by class."""
    return {
        priority: WaitingWork(
            _work(each.requests, each.tokens, depth.mean_output_tokens), each.oldest_ms / 1000
        )
        for priority, each in depth.classes.items()
    }


def counters_of(depth: views.Depth, at_seconds: float) -> Counters:
    """What was accepted until then."""
    return Counters(
        at_seconds,
        {
            priority: (each.accepted_requests, each.accepted_tokens)
            for priority, each in depth.classes.items()
        },
    )


def arrivals_between(
    before: Counters | None, after: Counters, mean_output_tokens: float
) -> Arrivals | None:
    """What was accepted in between; None without a time before, or when the store lost data."""
    if before is None or after.at_seconds <= before.at_seconds:
        return None
    classes = {}
    for priority, (requests, tokens) in after.classes.items():
        earlier = before.classes.get(priority, (0, 0))
        if requests < earlier[0] or tokens < earlier[1]:
            return None
        classes[priority] = _work(requests - earlier[0], tokens - earlier[1], mean_output_tokens)
    return Arrivals(after.at_seconds - before.at_seconds, classes)


def leased_of(work: views.LeasedWork) -> LeasedWork:
    """What workers hold, with a bounded number of tenants."""
    ranked = sorted(work.by_tenant.items(), key=lambda each: (-each[1], each[0]))
    kept = {tenant: round(count) for tenant, count in ranked[:MAX_TENANTS]}
    others = sum(count for _, count in ranked[MAX_TENANTS:])
    if others:
        kept[_OTHER] = kept.get(_OTHER, 0) + round(others)
    return LeasedWork(work.requests, work.remaining_tokens, kept)


def _work(requests: int, tokens: int, mean_output_tokens: float) -> Work:
    """The queue holds prompt and expected output as one number; it knows no modalities."""
    output = min(requests * mean_output_tokens, float(tokens))
    return Work(requests, {Modality.TEXT: tokens - output}, output)
