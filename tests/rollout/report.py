"""The result of a run as one JSON object, and whether it is good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.chaos.report import ZEROS
from tests.chaos.report import make_report as count
from tests.rollout.phases import Phase

COUNTS = ("streams", "finished", "resumed_midstream", *ZEROS)
_TOLD = ("errors_by_reason", "transient_by_reason", "kinds", "wrong", "notes")

Report = dict[str, Any]


def make_report(
    previous: str, phases: Sequence[Phase], odd_exits: Mapping[str, Sequence[int]], extra: Report
) -> Report:
    """Sums over all phases first, then each of them."""
    parts = [_part(phase) for phase in phases]
    sums = {name: sum(part[name] for part in parts) for name in COUNTS}
    return {"previous": previous, **sums, "phases": parts, "odd_exits": dict(odd_exits), **extra}


def unmet(report: Report) -> list[str]:
    """The conditions that the run did not meet."""
    faults = [f"{name} is {report[name]}" for name in ZEROS if report[name]]
    if report["finished"] != report["streams"]:
        faults.append(f"finished are {report['finished']} of {report['streams']}")
    if report["odd_exits"]:
        faults.append(f"processes ended otherwise than by a drain: {report['odd_exits']}")
    quiet = [part["name"] for part in report["phases"] if not part["resumed_midstream"]]
    return faults + [f"{name}: no stream went on with another worker" for name in quiet]


def _part(phase: Phase) -> Report:
    counts = count(phase.judged, kills={}, kills_with_logged_events=0, rewound=set(), extra={}) | {
        "streams": len(phase.judged)
    }
    return {
        "name": phase.name,
        **{name: counts[name] for name in COUNTS},
        "least_live": phase.least_live,
        "replaced": phase.replaced,
        "seconds": phase.seconds,
        **{name: counts[name] for name in _TOLD},
    }
