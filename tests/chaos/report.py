"""The result of a run as one JSON object, and whether it is good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.checker import End, Verdict
from tests.chaos.client import Outcome
from tests.chaos.delivery import Delivery

ZEROS = ("lost", "duplicate_offsets", "gaps", "wrong_content", "extra_terminals")
MIN_FINISHED_SHARE = 0.995
FULL_SECONDS = 240.0
"""A run of at least so long must reach the minimums whole, a shorter one its share of them."""
MINIMUMS = {"requests": 2000, "resumed_midstream": 200, "kills_with_logged_events": 50}
_SHOWN = 8

Report = dict[str, object]


@dataclass(frozen=True)
class Judged:
    """A request with what came of it."""

    outcome: Outcome
    verdict: Verdict


def make_report(
    judged: Sequence[Judged],
    *,
    kills: Mapping[str, int],
    kills_with_logged_events: int,
    rewound: set[int],
    extra: Report,
) -> Report:
    """Count; the named fields come first, what helps to understand them after."""
    ends = Counter(each.verdict.end for each in judged)
    deliveries = [d for each in judged for d in _all_deliveries(each.outcome)]
    regressed = {
        each.outcome.plan.number
        for each in judged
        if any(d.behind or d.end == "LOG_REGRESSED" for d in each.outcome.deliveries())
    }
    failed = [each for each in judged if each.verdict.end is not End.FINISHED]
    return {
        "requests": len(judged),
        **{end.value: ends[end] for end in End if end not in (End.LOST, End.FAILED)},
        "resumed_midstream": sum(_is_resumed(each.outcome) for each in judged),
        "kills_with_logged_events": kills_with_logged_events,
        "lost": ends[End.LOST],
        "duplicate_offsets": sum(d.duplicate_offsets for d in deliveries),
        "gaps": sum(d.gaps for d in deliveries),
        "wrong_content": sum(bool(each.verdict.wrong) for each in judged),
        "extra_terminals": sum(d.extra_terminals for d in deliveries),
        "rewound": len(rewound | regressed),
        "errors_by_reason": dict(Counter(each.verdict.reason for each in failed)),
        "kills": dict(kills),
        "failed": ends[End.FAILED],
        "aborted_planted": _planted(judged, End.ABORTED),
        "dead_lettered_planted": _planted(judged, End.DEAD_LETTERED),
        "transient_by_reason": dict(Counter(note for d in deliveries for note in d.transient)),
        "calls": sum(d.calls for d in deliveries),
        "kinds": dict(Counter(each.outcome.plan.kind.value for each in judged)),
        "notes": _shown(judged, wrong=False),
        "wrong": _shown(judged, wrong=True),
        **extra,
    }


def unmet(report: Report, seconds: float) -> list[str]:
    """The conditions that the run did not meet."""
    count = {name: value for name, value in report.items() if isinstance(value, int)}
    share = min(1.0, seconds / FULL_SECONDS)
    faults = [f"{name} is {count[name]}" for name in ZEROS if count[name]]
    faults += [
        f"{name} is {count[name]}, wanted are {least * share:.0f}"
        for name, least in MINIMUMS.items()
        if count[name] < least * share
    ]
    for end in ("aborted", "dead_lettered"):
        if count[end] != count[f"{end}_planted"]:
            faults.append(f"{end} where nothing planted it: {count[end]}")
    wanted = count["requests"] - count["cancelled_by_client"] - count["deadline_by_design"]
    if share < 1.0:
        # In a short run the planted ones alone are more than the share that may fail.
        wanted -= count["aborted_planted"] + count["dead_lettered_planted"]
    if count["finished"] < MIN_FINISHED_SHARE * wanted:
        faults.append(f"finished are {count['finished']} of {wanted}")
    return faults


def _planted(judged: Sequence[Judged], end: End) -> int:
    return sum(each.verdict.end is end and each.verdict.is_planted for each in judged)


def _all_deliveries(outcome: Outcome) -> list[Delivery]:
    return [*outcome.deliveries(), *([outcome.reread] if outcome.reread else [])]


def _is_resumed(outcome: Outcome) -> bool:
    return any(delivery.is_resumed for delivery in _all_deliveries(outcome))


def _shown(judged: Sequence[Judged], *, wrong: bool) -> list[str]:
    """A few of what was found, each with the request that it was found on."""
    lines = []
    for each in judged:
        found = each.verdict.wrong if wrong else each.verdict.notes
        if found:
            plan = each.outcome.plan
            lines.append(f"{plan.number} {plan.kind.value}: {'; '.join(found[:3])}"[:300])
    return lines[:_SHOWN]
