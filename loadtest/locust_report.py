"""Reads what Locust leaves behind: statistics as JSON, failures and exceptions as CSV."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Summary:
    """What a run came to; times in milliseconds, None where nothing was measured."""

    streams: int
    failures: int
    errors: Mapping[str, int]
    streams_per_second: float
    time_to_first_token_ms_p50: float | None
    time_to_first_token_ms_p99: float | None
    inter_token_latency_ms_p50: float | None
    inter_token_latency_ms_p99: float | None

    @property
    def is_good(self) -> bool:
        """Whether streams were finished and nothing went wrong."""
        return self.streams > 0 and self.failures == 0 and not self.errors


def quantile(histogram: Mapping[str, int], share: float) -> float | None:
    """The value below which `share` of the entries of a histogram {value: count} lie."""
    total = sum(histogram.values())
    seen = 0
    for value, count in sorted((float(value), count) for value, count in histogram.items()):
        seen += count
        if seen >= share * total:
            return value
    return None


def read_errors(prefix: Path) -> dict[str, int]:
    """Failures by their reason, and exceptions of the load test itself by their message."""
    errors: Counter[str] = Counter()
    for suffix, reason, count in (
        ("failures", "Error", "Occurrences"),
        ("exceptions", "Message", "Count"),
    ):
        path = prefix.with_name(f"{prefix.name}_{suffix}.csv")
        if path.exists():
            with path.open(newline="") as rows:
                for row in csv.DictReader(rows):
                    errors[row[reason]] += int(row[count])
    return dict(errors)


def summarize(
    statistics: Sequence[Mapping[str, Any]], errors: Mapping[str, int], seconds: float
) -> Summary:
    """The figures that the smoke prints; `seconds` is how long users ran."""
    entries = {entry["name"]: entry for entry in statistics}
    streams = entries.get("stream", {"num_requests": 0, "num_failures": 0})
    first = entries.get("time to first token", {}).get("response_times", {})
    between = entries.get("inter-token latency", {}).get("response_times", {})
    finished = streams["num_requests"] - streams["num_failures"]
    return Summary(
        streams=finished,
        failures=streams["num_failures"],
        errors=errors,
        streams_per_second=round(finished / seconds, 2),
        time_to_first_token_ms_p50=quantile(first, 0.5),
        time_to_first_token_ms_p99=quantile(first, 0.99),
        inter_token_latency_ms_p50=quantile(between, 0.5),
        inter_token_latency_ms_p99=quantile(between, 0.99),
    )
