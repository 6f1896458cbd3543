"""What the smoke makes of Locust's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loadtest.locust_report import quantile, read_errors, summarize

pytestmark = pytest.mark.unit


def entry(name: str, requests: int, failures: int, times: dict[str, int]) -> dict[str, Any]:
    return {
        "name": name,
        "num_requests": requests,
        "num_failures": failures,
        "response_times": times,
    }


def test_run_is_good_when_streams_finished_and_none_failed() -> None:
    statistics = [
        entry("stream", 40, 0, {"100": 40}),
        entry("time to first token", 40, 0, {"10": 39, "90": 1}),
        entry("inter-token latency", 400, 0, {"2": 400}),
    ]

    summary = summarize(statistics, {}, seconds=20)

    assert summary.is_good
    assert summary.streams == 40
    assert summary.streams_per_second == 2.0
    assert summary.time_to_first_token_ms_p50 == 10
    assert summary.time_to_first_token_ms_p99 == 90
    assert summary.inter_token_latency_ms_p99 == 2


@pytest.mark.parametrize(
    ("statistics", "errors"),
    [
        ([], {}),
        ([entry("stream", 5, 5, {"1": 5})], {"UNAVAILABLE": 5}),
        ([entry("stream", 5, 1, {"1": 5})], {}),
        ([entry("stream", 5, 0, {"1": 5})], {"a bug of the load test": 1}),
    ],
)
def test_run_is_not_good_when_something_failed_or_nothing_finished(
    statistics: list[dict[str, Any]], errors: dict[str, int]
) -> None:
    assert not summarize(statistics, errors, seconds=20).is_good


def test_errors_are_counted_by_reason_when_locust_wrote_them(tmp_path: Path) -> None:
    (tmp_path / "run_failures.csv").write_text(
        "Method,Name,Error,Occurrences\ngrpc,stream,QUEUE_FULL,3\ngrpc,other,QUEUE_FULL,2\n"
    )
    (tmp_path / "run_exceptions.csv").write_text(
        "Count,Message,Traceback,Nodes\n4,boom,trace,local\n"
    )

    assert read_errors(tmp_path / "run") == {"QUEUE_FULL": 5, "boom": 4}


def test_there_are_no_errors_when_locust_wrote_none(tmp_path: Path) -> None:
    assert read_errors(tmp_path / "run") == {}


def test_quantile_is_unknown_when_nothing_was_measured() -> None:
    assert quantile({}, 0.5) is None
