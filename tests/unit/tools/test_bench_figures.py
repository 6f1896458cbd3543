"""Figures of the benchmarks: percentiles, bounds, verdict."""

from __future__ import annotations

import json

import pytest

from tools.bench.figures import Wanted, percentile, percentile_of_counts, report

pytestmark = pytest.mark.unit


def test_the_percentile_is_the_smallest_value_that_covers_the_share_when_values_are_mixed() -> None:
    values = [float(value) for value in (5, 1, 4, 2, 3)]

    assert percentile(values, 0.5) == 3
    assert percentile(values, 0.99) == 5
    assert percentile(values, 0.0) == 1


def test_percentiles_agree_when_values_come_as_counts() -> None:
    counts = {7: 1, 1: 98, 3: 1}
    values = [float(value) for value, count in counts.items() for _ in range(count)]

    for share in (0.5, 0.98, 0.99, 1.0):
        assert percentile_of_counts(counts, share) == percentile(values, share)


def test_a_bound_is_met_when_the_figure_stands_on_it() -> None:
    assert Wanted(2.0, 2.0).to_json() == {"value": 2.0, "bound": 2.0, "ok": True}
    assert Wanted(2.1, 2.0).to_json()["ok"] is False
    assert Wanted(5000, 5000, is_floor=True).to_json()["ok"] is True
    assert Wanted(4999, 5000, is_floor=True).to_json()["ok"] is False


@pytest.mark.parametrize(("lost", "status"), [(0, 0), (1, 1)])
def test_only_what_must_be_zero_decides_when_bounds_are_missed(
    capsys: pytest.CaptureFixture[str], lost: int, status: int
) -> None:
    assert report({"lost": lost}, {"p99_ms": Wanted(70, 50)}, ["lost"]) == status

    verdict = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert verdict == {
        "ok": lost == 0,
        "lost": lost,
        "wanted": {"p99_ms": {"value": 70, "bound": 50, "ok": False}},
    }
