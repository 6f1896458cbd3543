"""Percentiles that a real Prometheus is asked for, of what gateways tell."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from facet.autoscaler.latency_reading import Gateways, LatencyReader, Prometheus
from facet.autoscaler.signals import Latency
from facet.core.telemetry.exposition import registry_of
from facet.core.telemetry.gateway_metrics import FIRST_TOKEN, GATEWAY, INTER_TOKEN
from facet.core.telemetry.listener import serving_metrics
from facet.queue.values import Priority, class_label
from tests.support.conditions import until
from tests.support.prometheus_server import PrometheusServer, prometheus

pytestmark = pytest.mark.integration

SLOS = {Priority.INTERACTIVE: 2.0, Priority.STANDARD: 10.0, Priority.BATCH: 3600.0}
TOKENS = 100
WAIT_SECONDS = 30.0


@pytest.fixture
def model() -> str:
    """One that nobody else tells of: a process has its metrics once."""
    return f"model-{secrets.token_hex(4)}"


@pytest.fixture
def metrics(model: str) -> Iterator[str]:
    """`host:port` of a gateway that has served nothing yet."""
    for name in (model, "other"):
        INTER_TOKEN.labels(name)
        for each in Priority:
            FIRST_TOKEN.labels(name, class_label(each))
    page = {"/metrics": registry_of(GATEWAY)}
    with serving_metrics("127.0.0.1:0", page, is_serving=lambda: True) as at:
        assert at
        yield at


@pytest.fixture
def server(tmp_path: Path, metrics: str) -> Iterator[PrometheusServer]:
    with prometheus(tmp_path, [metrics], []) as running:
        yield running


def serve(model: str) -> None:
    """Nine first tokens of ten in time, one token of ten 0.4 s behind the one before."""
    for number in range(TOKENS):
        is_late = number % 10 == 0
        FIRST_TOKEN.labels(model, "interactive").observe(30 if is_late else 0.01)
        FIRST_TOKEN.labels("other", "interactive").observe(30)
        INTER_TOKEN.labels(model).observe(0.4 if is_late else 0.01)
        INTER_TOKEN.labels("other").observe(5)


async def test_prometheus_tells_what_the_gateways_tell_themselves(
    server: PrometheusServer, metrics: str, model: str
) -> None:
    reader = LatencyReader(Prometheus(f"{server.address}/", model), SLOS)
    direct = LatencyReader(Gateways(metrics, model), SLOS)

    async def is_scraped() -> bool:
        zeros = f'facet_gateway_inter_token_seconds_count{{model="{model}"}}[1m]'
        found = await asyncio.to_thread(server.query, f"count_over_time({zeros})")
        return bool(found) and float(found[0]["value"][1]) >= 2

    await until(lambda: asyncio.to_thread(server.is_ready), seconds=WAIT_SECONDS)
    await until(is_scraped, seconds=WAIT_SECONDS)
    await reader.read()
    await direct.read()
    assert reader.reading.current == dict.fromkeys(Priority, Latency())
    serve(model)

    async def is_seen() -> bool:
        counts = [
            f'facet_gateway_time_to_first_token_seconds_count{{model="{model}",class="interactive"}}',
            f'facet_gateway_inter_token_seconds_count{{model="{model}"}}',
        ]
        asked = " and on () ".join(f"{count} == {TOKENS}" for count in counts)
        return bool(await asyncio.to_thread(server.query, asked))

    await until(is_seen, seconds=WAIT_SECONDS)
    await reader.read()
    await direct.read()
    latencies, own = reader.reading.current, direct.reading.current
    assert latencies is not None
    assert own is not None
    interactive, theirs = latencies[Priority.INTERACTIVE], own[Priority.INTERACTIVE]
    assert interactive.within_slo == pytest.approx(0.9)
    assert interactive.ttft_p50_seconds is not None
    assert interactive.ttft_p50_seconds < 0.1
    assert interactive.ttft_p99_seconds is not None
    assert interactive.ttft_p99_seconds > SLOS[Priority.INTERACTIVE]
    assert vars(interactive) == pytest.approx(vars(theirs))
    assert latencies[Priority.BATCH].within_slo is None
    for latency in latencies.values():
        assert latency.inter_token_p99_seconds == pytest.approx(theirs.inter_token_p99_seconds)
        # In the bucket that holds 0.4 s.
        assert 0.2 < (latency.inter_token_p99_seconds or 0) <= 0.5


async def test_nothing_is_read_when_prometheus_refuses(
    server: PrometheusServer, model: str
) -> None:
    await until(lambda: asyncio.to_thread(server.is_ready), seconds=WAIT_SECONDS)
    for target, asked in ((f"{server.address}/nowhere", model), (server.address, 'a" or "')):
        reader = LatencyReader(Prometheus(target, asked), SLOS)
        await reader.read()
        assert reader.reading.current is None
