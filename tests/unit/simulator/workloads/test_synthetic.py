"""The shapes of synthetic loads."""

from __future__ import annotations

import statistics

import pytest

from facet.queue.values import Priority
from facet.simulator.workloads.mixing import with_batch
from facet.simulator.workloads.synthetic import SYNTHETIC

pytestmark = pytest.mark.unit


def test_the_rate_stays_when_it_is_poisson() -> None:
    rates = SYNTHETIC["poisson"]().scaled(5.0, 0).rates()

    assert statistics.fmean(rates) == pytest.approx(5.0, rel=0.03)
    # 300 requests a minute: a deviation of 17.3 if they are Poisson.
    assert statistics.stdev(rates) * 60 == pytest.approx(17.3, rel=0.35)


def test_minutes_differ_by_half_their_mean_when_load_comes_in_bursts() -> None:
    rates = SYNTHETIC["gamma"]().scaled(5.0, 0).rates()

    assert statistics.stdev(rates) / statistics.fmean(rates) == pytest.approx(0.5, rel=0.3)


def test_the_day_swings_ten_to_one() -> None:
    workload = SYNTHETIC["diurnal"]().scaled(2.0, 0)
    hours = workload.rates(3600.0)

    assert workload.duration_seconds == 24 * 3600
    assert hours.index(min(hours)) in (3, 4)
    assert hours.index(max(hours)) in (15, 16)
    assert max(hours) / min(hours) == pytest.approx(10, rel=0.15)


def test_the_crowd_is_ten_times_as_large_from_one_moment_to_the_next() -> None:
    minutes = SYNTHETIC["flash"]().scaled(20.0, 0).rates()

    assert statistics.fmean(minutes[20:30]) / statistics.fmean(minutes[:20]) == pytest.approx(
        10, rel=0.1
    )
    assert minutes[20] > 8 * minutes[19]


def test_nothing_comes_before_and_after_when_it_starts_from_zero() -> None:
    minutes = SYNTHETIC["zero"]().scaled(5.0, 0).rates()

    assert max(minutes[:10]) == 0
    assert minutes[10] > 0
    assert minutes[19] > 4 * minutes[11]
    assert max(minutes[40:]) == 0


def test_all_kinds_of_media_come_with_their_tokens_when_it_is_multimodal() -> None:
    requests = list(SYNTHETIC["multimodal"]().scaled(2.0, 0).arrivals())

    shares = {kind: sum(each.media == kind for each in requests) / len(requests) for kind in "iav"}
    assert shares == pytest.approx({"i": 0.25, "a": 0.1, "v": 0.05}, rel=0.15)
    for each in requests:
        unit = {"": 1, "i": 280, "a": 250, "v": 70}[each.media]
        assert each.media_tokens % unit == 0
        assert (each.media_tokens > 0) == bool(each.media)
        assert each.prompt_tokens >= each.media_tokens


@pytest.mark.parametrize("name", SYNTHETIC)
def test_requests_are_in_order_and_equal_when_the_seed_is(name: str) -> None:
    def drawn(seed: int) -> list[tuple[float, int, int]]:
        arrivals = SYNTHETIC[name]().scaled(0.3, seed).arrivals()
        return [(e.arrived_seconds, e.prompt_tokens, e.output_tokens) for e in arrivals]

    first = drawn(4)

    assert first == drawn(4)
    assert first != drawn(5)
    assert first == sorted(first, key=lambda each: each[0])
    assert min(prompt for _, prompt, _ in first) >= 1


def test_a_workload_gives_the_same_again_when_it_is_asked_twice() -> None:
    workload = SYNTHETIC["gamma"]().scaled(0.5, 0)

    assert [e.arrived_seconds for e in workload.arrivals()] == [
        e.arrived_seconds for e in workload.arrivals()
    ]


def test_the_same_profile_takes_longer_when_it_is_stretched() -> None:
    workload = SYNTHETIC["flash"]().stretched(0.5).scaled(20.0, 0)

    assert workload.duration_seconds == 1800
    assert statistics.fmean(workload.rates()[10:15]) == pytest.approx(20, rel=0.1)


def test_so_many_may_wait_when_a_share_is_batch() -> None:
    workload = with_batch(SYNTHETIC["poisson"]().scaled(1.0, 0), 0.25, 1)
    requests = list(workload.arrivals())

    share = sum(each.priority is Priority.BATCH for each in requests) / len(requests)
    assert share == pytest.approx(0.25, abs=0.03)
