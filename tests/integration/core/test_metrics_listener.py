"""The listener for metrics, over real HTTP."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from facet.core.telemetry import listener
from facet.core.telemetry.exposition import registry_of
from facet.core.telemetry.listener import MAX_AT_ONCE, serving_metrics
from facet.core.telemetry.metrics import Catalogue
from tests.support.promtool import Scraped, check_metrics, scrape

pytestmark = pytest.mark.integration

BUSY_SECONDS = 1.5


class Service:
    """A catalogue that is served."""

    def __init__(self) -> None:
        self.catalogue = Catalogue("Some", "Of a test.")
        self.things = self.catalogue.counter("facet_some_things_total", "Things.")
        self.is_serving = True
        self.address = ""


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    registries = {"/metrics": registry_of(made.catalogue)}
    with serving_metrics(
        "127.0.0.1:0", registries, is_serving=lambda: made.is_serving
    ) as made.address:
        yield made


def status_of(address: str, path: str, method: str = "GET") -> int:
    request = urllib.request.Request(f"http://{address}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_promtool_finds_nothing_when_metrics_are_scraped(service: Service) -> None:
    service.things.inc(3)
    text = scrape(service.address)

    check_metrics(text)
    assert Scraped(text).value("facet_some_things_total") == 3


def test_health_follows_the_service(service: Service) -> None:
    before = status_of(service.address, "/health")
    service.is_serving = False

    assert (before, status_of(service.address, "/health")) == (200, 503)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/metrics", "HEAD", 405), ("/", "GET", 404), ("/metrics", "POST", 405)],
)
def test_other_requests_are_answered_with_a_status(
    service: Service, path: str, method: str, status: int
) -> None:
    assert status_of(service.address, path, method) == status


async def test_scrapes_are_answered_while_the_event_loop_is_busy(service: Service) -> None:
    scraping = asyncio.create_task(asyncio.to_thread(scrape_until, service.address, BUSY_SECONDS))
    await asyncio.sleep(0)
    ends = time.monotonic() + BUSY_SECONDS
    while time.monotonic() < ends:
        service.things.inc()

    slowest, count = await scraping
    assert count >= 5
    assert slowest < 1.0


def scrape_until(address: str, seconds: float) -> tuple[float, int]:
    """The slowest scrape, in seconds, and how many there were while the time ran."""
    ends, slowest, count = time.monotonic() + seconds, 0.0, 0
    while time.monotonic() < ends:
        began = time.monotonic()
        scrape(address)
        slowest, count = max(slowest, time.monotonic() - began), count + 1
    return slowest, count


def test_silent_clients_hold_no_thread_for_longer_than_the_bound(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener._Handler, "timeout", 0.5)
    host, _, port = service.address.rpartition(":")
    with ExitStack() as stack:
        for _ in range(MAX_AT_ONCE):
            stack.enter_context(closing(socket.create_connection((host, int(port)), 5)))
        with pytest.raises((ConnectionError, urllib.error.URLError)):
            scrape(service.address)
        ends = time.monotonic() + 5
        while True:
            try:
                assert "facet_some_things" in scrape(service.address)
                break
            except (ConnectionError, urllib.error.URLError):
                assert time.monotonic() < ends


def test_start_is_refused_when_the_address_is_taken(service: Service) -> None:
    serving = serving_metrics(service.address, {}, is_serving=lambda: True)

    with pytest.raises(OSError, match="cannot listen on"), serving:
        pass


def test_nothing_is_served_when_no_address_is_given() -> None:
    with serving_metrics("", {}, is_serving=lambda: True) as address:
        assert address == ""


def test_a_note_stands_behind_the_state_when_there_is_one() -> None:
    notes = [""]
    with serving_metrics(
        "127.0.0.1:0", {}, is_serving=lambda: True, note=lambda: notes[-1]
    ) as address:
        assert scrape(address, "/health") == "SERVING\n"
        notes.append("something is amiß")
        assert scrape(address, "/health") == "SERVING\nsomething is amiß\n"


def test_it_answers_again_when_threads_could_not_be_started(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    refused: list[threading.Thread] = []

    def refuse(thread: threading.Thread) -> None:
        if len(refused) < MAX_AT_ONCE and thread.daemon:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(MAX_AT_ONCE):
        with pytest.raises((ConnectionError, urllib.error.URLError)):
            scrape(service.address)

    assert len(refused) == MAX_AT_ONCE
    assert "facet_some_things" in scrape(service.address)


def test_start_is_refused_when_the_port_is_none() -> None:
    serving = serving_metrics("127.0.0.1:99999", {}, is_serving=lambda: True)

    with pytest.raises(OSError, match="cannot listen on"), serving:
        pass
