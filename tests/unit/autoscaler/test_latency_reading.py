"""Percentiles from histograms, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing, suppress

import pytest
from prometheus_client import CollectorRegistry, Histogram

from facet.autoscaler import latency_reading
from facet.autoscaler.latency_reading import Gateways, LatencyReader, Prometheus, latency_of
from facet.autoscaler.signals import Latency
from facet.core.telemetry.listener import serving_metrics
from facet.queue.values import Priority
from tests.support.event_loop import longest_hold
from tests.support.redis_server import free_port

pytestmark = pytest.mark.unit

INF = float("inf")
SLOS = {Priority.INTERACTIVE: 2.0, Priority.STANDARD: 10.0, Priority.BATCH: 3600.0}


def test_percentiles_are_interpolated_when_a_bucket_holds_several() -> None:
    buckets = {1.0: 50.0, 2.0: 90.0, 4.0: 100.0, INF: 100.0}
    latency = latency_of(buckets, {0.1: 99.0, 0.5: 199.0, INF: 200.0}, 2.0)
    assert latency.ttft_p50_seconds == pytest.approx(1.0)
    assert latency.ttft_p99_seconds == pytest.approx(3.8)
    assert latency.inter_token_p99_seconds == pytest.approx(0.496)
    assert latency.within_slo == pytest.approx(0.9)


@pytest.mark.parametrize("buckets", [{}, {1.0: 0.0, INF: 0.0}])
def test_nothing_is_told_when_nothing_ended(buckets: Mapping[float, float]) -> None:
    assert latency_of(buckets, buckets, 2.0) == Latency()


def test_what_is_beyond_all_bounds_is_late_when_it_is_counted() -> None:
    latency = latency_of({1.0: 50.0, INF: 100.0}, {}, 2.0)
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


@asynccontextmanager
async def answering(content: bytes, *, slowly: bool = False) -> AsyncIterator[str]:
    """`host:port` of a server that answers so and closes, or goes on a byte at a time."""
    tasks = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with closing(writer), suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(content)
            while slowly:
                await asyncio.sleep(0.05)
                writer.write(b"x")
                await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
        await asyncio.gather(*filter(None, tasks))


def page(content: bytes, *, length: int | None = None) -> bytes:
    size = len(content) if length is None else length
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + content


def found(value: object) -> bytes:
    """Prometheus's answer with one bucket of this value."""
    result = [{"metric": {"class": "interactive", "le": "+Inf"}, "value": [1.0, value]}]
    return page(json.dumps({"status": "success", "data": {"result": result}}).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"-ERR this is no HTTP\r\n",
        page(b'{"status":"success"}'),
        page(b'{"status":"success","data":{"result":[{"metric":{},"value":[1,"2"]}]}}'),
        found("NaN"),
        found(None),
        page(b'{"status":"error"}'),
    ],
    ids=["no HTTP", "no data", "no bound", "no number", "null", "error"],
)
async def test_nothing_is_taken_and_reading_goes_on_when_prometheus_answers_nonsense(
    content: bytes,
) -> None:
    async with answering(content) as at:
        reader = LatencyReader(Prometheus(f"http://{at}", "nano"), SLOS)
        await reader.read()
    assert reader.reading.current is None


BUCKET = b'facet_gateway_time_to_first_token_seconds_bucket{model="nano",class="x",le="1"} '


@pytest.mark.parametrize(
    "content",
    [
        b"-ERR this is no HTTP\r\n",
        page(BUCKET + b"3\n", length=1000),
        page(BUCKET + b"NaN\n"),
        page(BUCKET.replace(b',le="1"', b"") + b"3\n"),
    ],
    ids=["no HTTP", "cut off", "no number", "no bound"],
)
async def test_nothing_is_taken_and_reading_goes_on_when_a_gateway_answers_nonsense(
    content: bytes,
) -> None:
    async with answering(content) as at:
        reader = LatencyReader(Gateways(at, "nano"), SLOS)
        await reader.read()
    assert reader.reading.current is None


async def test_reading_ends_in_time_when_a_page_never_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latency_reading, "_PAGE_SECONDS", 0.5)
    async with answering(page(b"", length=1_000_000), slowly=True) as at:
        reader = LatencyReader(Gateways(at, "nano"), SLOS)
        async with asyncio.timeout(5):
            await reader.read()
    assert reader.reading.current is None


async def test_the_service_goes_on_while_large_pages_are_read() -> None:
    """A page of 2 MB, most of it of no interest, took 2 s to parse in the event loop."""
    others = b"".join(b'facet_other_bucket{tenant="t-%d",le="1"} 1.0\n' % i for i in range(40_000))
    async with answering(page(others + BUCKET + b"3\n")) as at:
        reader = LatencyReader(Gateways(at, "nano"), SLOS)
        assert await longest_hold(reader.read()) < 0.2
    assert reader.reading.current is not None


async def test_the_last_reading_ages_when_no_gateway_answers() -> None:
    reader = LatencyReader(Gateways(f"127.0.0.1:{free_port()}", "nano"), SLOS)
    await reader.read()
    assert reader.reading.current is None
