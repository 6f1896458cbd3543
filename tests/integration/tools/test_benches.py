"""Short runs of the benchmarks and of the chaos harness with real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

import pytest

from tests.chaos.report import ZEROS

pytestmark = pytest.mark.integration

RUN_SECONDS = 100


def verdict_of(module: str, *arguments: str, statuses: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """The last line of a program that must exit with one of the statuses."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=os.environ | {"TMPDIR": folder},
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    assert done.returncode in statuses, done.stderr
    verdict: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return verdict


def test_nothing_is_lost_and_all_is_timed_when_the_queue_benchmark_is_short() -> None:
    verdict = verdict_of(
        "tools.bench.queue",
        *("--levels", "10", "300"),
        *("--rounds", "40", "--seconds", "0.5", "--expired", "300"),
    )

    assert verdict["ok"] is True
    assert [level["waiting"] for level in verdict["levels"]] == [10, 300, 10]
    for level in verdict["levels"]:
        assert all(times["p50"] > 0 for times in level["server_us"].values())
        assert all(times["p50"] > 0 for times in level["client_us"].values())
    zeros = ("lost", "duplicates", "refused", "strays")
    assert {name: verdict[name] for name in zeros} == dict.fromkeys(zeros, 0)
    assert verdict["expired"] == 300
    assert 0 < verdict["overhead_bytes_per_request"] < 2000
    assert verdict["max_script_ms"] > 0
    assert verdict["cycles"] > 0
    assert set(verdict["wanted"]) == {
        "overhead_bytes_per_request",
        "cycles_per_second",
        "max_script_ms",
    }


def test_every_event_is_delivered_once_when_the_stream_benchmark_is_short() -> None:
    verdict = verdict_of("tools.bench.streams", "--streams", "30", "--seconds", "2")

    assert verdict["ok"] is True
    (level,) = verdict["levels"]
    assert level["events"] == 30 * 20 * 2
    assert (level["lost"], level["duplicates"], level["gaps"], level["undelivered"]) == (0, 0, 0, 0)
    assert level["failures"] == {}
    assert 0 < level["delivery_delay_ms"]["p50"] <= level["delivery_delay_ms"]["p99"]


CHAOS_FIELDS = [
    *("requests", "finished", "cancelled_by_client", "deadline_by_design", "aborted"),
    *("dead_lettered", "resumed_midstream", "kills_with_logged_events"),
    *ZEROS,
    *("rewound", "errors_by_reason", "kills"),
]


def test_nothing_is_lost_when_a_short_storm_kills_workers_and_the_store() -> None:
    verdict = verdict_of(
        "tests.chaos.run",
        *("--seed", "3", "--seconds", "12", "--requests", "100", "--no-failover"),
        # On a busy machine a short storm is smaller than its conditions want.
        statuses=(0, 1),
    )

    assert list(verdict)[: len(CHAOS_FIELDS)] == CHAOS_FIELDS
    assert {name: verdict[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0)
    for end in ("aborted", "dead_lettered"):
        assert verdict[end] == verdict[f"{end}_planted"]
    by_design = ("cancelled_by_client", "deadline_by_design", "aborted", "dead_lettered")
    ends = {name: verdict[name] for name in ("finished", *by_design)}
    assert sum(ends.values()) == verdict["requests"] > 0
    assert verdict["finished"] > 0
    assert verdict["resumed_midstream"] > 0
    assert verdict["kills"]["worker"] > 0
    assert verdict["kills"]["redis_restart"] == 1
