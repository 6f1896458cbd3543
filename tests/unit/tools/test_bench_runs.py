"""Short runs of both benchmarks with real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.integration

RUN_SECONDS = 100


def bench(name: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", f"tools.bench.{name}", *arguments],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdict: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return verdict


def test_nothing_is_lost_and_all_is_timed_when_the_queue_benchmark_is_short() -> None:
    verdict = bench(
        "queue",
        *("--levels", "10", "300"),
        *("--rounds", "40", "--seconds", "0.5", "--expired", "300"),
    )

    assert verdict["ok"] is True
    assert [level["waiting"] for level in verdict["levels"]] == [10, 300, 10]
    for level in verdict["levels"]:
        assert all(times["p50"] > 0 for times in level["server_us"].values())
        assert all(times["p50"] > 0 for times in level["client_us"].values())
    assert (verdict["lost"], verdict["duplicates"], verdict["expired"]) == (0, 0, 300)
    assert verdict["cycles"] > 0
    assert set(verdict["wanted"]) == {
        "overhead_bytes_per_request",
        "cycles_per_second",
        "max_script_ms",
    }


def test_every_event_is_delivered_once_when_the_stream_benchmark_is_short() -> None:
    verdict = bench("streams", "--streams", "30", "--seconds", "2")

    assert verdict["ok"] is True
    (level,) = verdict["levels"]
    assert level["events"] == 30 * 20 * 2
    assert (level["lost"], level["duplicates"], level["gaps"], level["undelivered"]) == (0, 0, 0, 0)
    assert level["failures"] == {}
    assert 0 < level["delivery_delay_ms"]["p50"] <= level["delivery_delay_ms"]["p99"]
