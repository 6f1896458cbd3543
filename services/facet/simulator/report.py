"""What is printed of a comparison: a table, or one JSON line a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facet.simulator.comparison import Options, Outcome
from facet.simulator.pod_model import SHIPPED

_COLUMNS = (
    ("policy", "policy", "{}"),
    ("slo_attainment", "within SLO", "{:.4f}"),
    ("pod_hours", "pod hours", "{:.2f}"),
    ("vs_clairvoyant", "vs clairvoyant", "{:.3f}"),
    ("p99_ttft_s", "p99 TTFT s", "{:.2f}"),
    ("peak_pods", "peak pods", "{}"),
    ("scale_events", "scale events", "{}"),
    ("first_token_s", "first token s", "{:.2f}"),
)


def values(options: Options, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """An object a policy, in their order; `vs_clairvoyant` is None where it was not asked for."""
    hours = {each.policy: each.measures.pod_hours for each in outcomes}
    best = hours.get("clairvoyant")
    return [_values(options, each, best) for each in outcomes]


def _values(options: Options, outcome: Outcome, best: float | None) -> dict[str, Any]:
    measures = outcome.measures
    return {
        "policy": outcome.policy,
        "slo_attainment": round(measures.attainment, 6),
        "pod_hours": round(measures.pod_hours, 4),
        "vs_clairvoyant": round(measures.pod_hours / best, 4) if best else None,
        "p99_ttft_s": _rounded(measures.ttft.percentile(0.99)),
        "scale_events": measures.scale_events,
        "misses": measures.misses,
        "peak_pods": measures.peak_pods,
        "requests": measures.arrived,
        "unserved": measures.arrived - measures.ended_requests,
        "first_token_s": _rounded(measures.first_token_seconds),
        "warm_up_seconds": measures.measured_from_seconds,
        **defaults(options),
    }


def defaults(options: Options) -> dict[str, Any]:
    """The flags, as they were set or by default."""
    stock_out = options.stock_out
    return {
        "trace": str(options.trace) if options.trace else None,
        "workload": None if options.trace else options.workload,
        "cold_start_seconds": options.cold_start_seconds,
        "ttft_slo_seconds": options.ttft_slo_seconds,
        "pod_model": str(options.pod_model) if options.pod_model else SHIPPED.stem,
        "peak_pods_wanted": options.peak_pods,
        "time_scale": options.time_scale,
        "batch_share": options.batch_share,
        "spot_losses_per_hour": options.spot_losses,
        "failures_per_hour": options.failures,
        "stock_out": list(stock_out) if stock_out else None,
        "seed": options.seed,
    }


def table(options: Options, outcomes: Sequence[Outcome]) -> list[str]:
    """Lines of a table, the flags below it."""
    rows = [[title for _, title, _ in _COLUMNS]]
    for each in values(options, outcomes):
        cells = ((each[name], form) for name, _, form in _COLUMNS)
        rows.append(["-" if value is None else form.format(value) for value, form in cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    warm_up = {each.measures.measured_from_seconds for each in outcomes}
    given = {"warm_up_seconds": max(warm_up, default=0.0), **defaults(options)}.items()
    return [*lines, ", ".join(f"{name}={value}" for name, value in given if value is not None)]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
