"""Percentiles from histograms, over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry, Histogram

from facet.autoscaler.latency_reading import Gateways, LatencyReader, latency_of
from facet.autoscaler.signals import Latency
from facet.core.telemetry.listener import serving_metrics
from facet.queue.values import Priority
from tests.support.redis_server import free_port

pytestmark = pytest.mark.unit

INF = float("inf")
SLOS = {Priority.INTERACTIVE: 2.0, Priority.STANDARD: 10.0, Priority.BATCH: 3600.0}


def test_percentiles_are_interpolated_when_a_bucket_holds_several() -> None:
    latency = latency_of({1.0: 50.0, 2.0: 90.0, 4.0: 100.0, INF: 100.0}, 2.0)
    assert latency.ttft_p50_seconds == pytest.approx(1.0)
    assert latency.ttft_p99_seconds == pytest.approx(3.8)
    assert latency.within_slo == pytest.approx(0.9)


@pytest.mark.parametrize("buckets", [{}, {1.0: 0.0, INF: 0.0}])
def test_nothing_is_told_when_nothing_ended(buckets: Mapping[float, float]) -> None:
    assert latency_of(buckets, 2.0) == Latency()


def test_what_is_beyond_all_bounds_is_late_when_it_is_counted() -> None:
    latency = latency_of({1.0: 50.0, INF: 100.0}, 2.0)
    assert latency.within_slo == 0.5
    assert latency.ttft_p99_seconds == 1.0


async def test_only_what_came_since_counts_when_gateways_are_scraped_again() -> None:
    registry = CollectorRegistry()
    ttft = Histogram(
        "facet_gateway_time_to_first_token_seconds",
        "-",
        ("model", "class"),
        buckets=(1, 2, 4),
        registry=registry,
    )
    for _ in range(100):
        ttft.labels("nano", "interactive").observe(3)
    with serving_metrics("127.0.0.1:0", {"/metrics": registry}, is_serving=lambda: True) as at:
        reader = LatencyReader(Gateways(at, "nano"), SLOS)
        await reader.read()
        for _ in range(10):
            ttft.labels("nano", "interactive").observe(0.5)
            ttft.labels("other", "interactive").observe(3)
        await reader.read()
    latencies = reader.reading.current
    assert latencies is not None
    assert latencies[Priority.INTERACTIVE].within_slo == 1
    assert latencies[Priority.BATCH] == Latency()


async def test_the_last_reading_ages_when_no_gateway_answers() -> None:
    reader = LatencyReader(Gateways(f"127.0.0.1:{free_port()}", "nano"), SLOS)
    await reader.read()
    assert reader.reading.current is None
