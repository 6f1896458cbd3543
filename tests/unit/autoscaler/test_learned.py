"""What the leader goes on with, and timing samples, on their way through the store."""

from __future__ import annotations

import pytest

from facet.autoscaler.coefficients import ServiceCoefficients, TimingSample
from facet.autoscaler.learned import Learned
from facet.autoscaler.policy import PolicyState, PoolSettings
from facet.autoscaler.queue_reading import Counters
from facet.autoscaler.startup_times import StartupTimes
from facet.autoscaler.timing_samples import PoolSample, WaitingSamples
from facet.autoscaler.work import Modality
from facet.core.telemetry.autoscaler_metrics import TIMINGS_DROPPED
from facet.queue.values import Priority

pytestmark = pytest.mark.unit

POOLS = tuple(PoolSettings(name, 16, 240.0, ServiceCoefficients()) for name in ("a", "b"))
SAMPLE = TimingSample({Modality.TEXT: 900, Modality.IMAGE: 100}, 10, 200, 100, 0.5, 2.5, 8.5)


def test_all_is_there_again_when_it_was_written() -> None:
    learned = Learned(
        Learned.starting(POOLS).observed([PoolSample("a", SAMPLE)] * 3, 12.0).coefficients,
        StartupTimes(starting={"pod-2": 3.0}, started_pods=("pod-1",)).started("a", 100.0),
        12.0,
        9.5,
        Counters(12.5, {Priority.BATCH: (3, 400)}),
        PolicyState(at_seconds=12.5, replicas={"a": 2}),
    )
    again = Learned.from_bytes(learned.to_bytes(), POOLS)
    assert again == learned
    assert again.coefficients["a"].samples == 3


def test_a_pool_begins_with_its_settings_when_nothing_was_written_of_it() -> None:
    learned = Learned.starting(POOLS[:1]).observed([PoolSample("a", SAMPLE)], 12.0)
    again = Learned.from_bytes(learned.to_bytes(), POOLS)
    assert again.coefficients["a"].samples == 1
    assert again.coefficients["b"] == Learned.starting(POOLS).coefficients["b"]
    assert set(Learned.from_bytes(again.to_bytes(), POOLS[1:]).coefficients) == {"b"}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"version 99":{}}', b'{"version 1":{}}', b"\xff"])
def test_it_is_refused_when_nobody_wrote_it(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^learned: "):
        Learned.from_bytes(data, POOLS)


def test_a_sample_is_the_same_when_it_went_through_the_store() -> None:
    sample = PoolSample("a", SAMPLE)
    assert PoolSample.from_bytes(sample.to_bytes()) == sample


@pytest.mark.parametrize(
    "data", [b"", b"3", b"[1]", b'["a",{}]', b'["a",{"prompt_tokens":{"x":1}}]']
)
def test_a_sample_is_refused_when_nobody_wrote_it(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^timing sample: "):
        PoolSample.from_bytes(data)


def test_the_oldest_are_dropped_when_too_many_wait() -> None:
    before = _dropped()
    waiting = WaitingSamples(most=3)
    for name in "abcd":
        waiting.add(PoolSample(name, SAMPLE))
    assert _dropped() == before + 1
    taken = waiting.take()
    assert [each.pool for each in taken] == ["b", "c", "d"]
    assert waiting.take() == []
    waiting.add(PoolSample("e", SAMPLE))
    waiting.put_back(taken[1:])
    assert [each.pool for each in waiting.take()] == ["c", "d", "e"]
    for name in "fgh":
        waiting.add(PoolSample(name, SAMPLE))
    waiting.put_back(taken)
    assert [each.pool for each in waiting.take()] == ["f", "g", "h"]
    assert _dropped() == before + 4


def _dropped() -> float:
    (family,) = TIMINGS_DROPPED.collect()
    return family.samples[0].value
