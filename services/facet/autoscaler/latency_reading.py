"""Latency percentiles by class, from gateways' own metrics or from Prometheus. Optional."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from typing import Protocol

import structlog
from prometheus_client.parser import text_string_to_metric_families

from facet.autoscaler.signals import Latency, Reading
from facet.queue.values import Priority, class_label

WINDOW_SECONDS = 60.0
VALID_SECONDS = 90.0
_CALL_SECONDS = 3.0
"""Without a byte."""
_PAGE_SECONDS = 6.0
_MAX_PAGE_BYTES = 8 * 1024 * 1024
_MAX_GATEWAYS = 100

_TTFT = "facet_gateway_time_to_first_token_seconds_bucket"
_BETWEEN = "facet_gateway_inter_token_seconds_bucket"

Buckets = Mapping[str, Mapping[float, float]]
"""Cumulative counts of first tokens by upper bound, by class, and of the times between tokens."""

ALL_CLASSES = ""
"""Has the times between tokens, which gateways do not part by class."""

_log = structlog.get_logger(__name__)


class Histograms(Protocol):
    """Where counts come from. Errors: OSError, ValueError."""

    async def within_window(self) -> Buckets:
        """How many tokens came within each bound during the last window."""


class LatencyReader:
    """Reads now and then in the background; `reading` never waits."""

    def __init__(self, source: Histograms, slos: Mapping[Priority, float]) -> None:
        """`slos` are seconds within which a class's first token is promised."""
        self._source = source
        self._slos = slos
        self._value: Mapping[Priority, Latency] | None = None
        self._read_at = 0.0
        self._told = ""

    @property
    def reading(self) -> Reading[Mapping[Priority, Latency]]:
        """The last values."""
        age = time.monotonic() - self._read_at if self._value is not None else 0.0
        return Reading(self._value, age, VALID_SECONDS)

    async def run(self, period_seconds: float = 10.0) -> None:
        """Read until cancelled; what fails is logged once for each reason."""
        while True:
            await self.read()
            await asyncio.sleep(period_seconds)

    async def read(self) -> None:
        """Read once."""
        try:
            buckets = await self._source.within_window()
        except (OSError, ValueError) as error:
            if repr(error) != self._told:
                _log.warning("latency.unread", cause=repr(error))
            self._told = repr(error)
            return
        self._told = ""
        self._read_at = time.monotonic()
        between = buckets.get(ALL_CLASSES, {})
        self._value = {
            each: latency_of(buckets.get(class_label(each), {}), between, self._slos[each])
            for each in Priority
        }


class Prometheus:
    """`Histograms` by a query."""

    def __init__(self, url: str, model: str) -> None:
        self._url = url.rstrip("/")
        self._model = model

    async def within_window(self) -> Buckets:
        """See `Histograms.within_window`."""
        of = f'{{model="{self._model}"}}[{WINDOW_SECONDS:.0f}s]'
        query = " or ".join(
            f"sum by (class, le) (increase({name}{of}))" for name in (_TTFT, _BETWEEN)
        )
        url = f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        answer = json.loads(await asyncio.to_thread(_get, url))
        found: dict[str, dict[float, float]] = {}
        try:
            for each in answer["data"]["result"]:
                labels = each["metric"]
                of_class = found.setdefault(labels.get("class", ALL_CLASSES), {})
                of_class[float(labels["le"])] = _finite(float(each["value"][1]))
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"{self._url}: the query failed: {answer!s:.200}") from error
        return found


class Gateways:
    """`Histograms` from every gateway that a name resolves to, as differences over the window."""

    def __init__(self, address: str, model: str) -> None:
        """`address` is `host:port` of their `/metrics`."""
        self._host, _, self._port = address.rpartition(":")
        self._model = model
        self._past: dict[str, list[tuple[float, Buckets]]] = {}

    async def within_window(self) -> Buckets:
        """See `Histograms.within_window`; gateways that do not answer well are left out."""
        found = await asyncio.get_running_loop().getaddrinfo(
            self._host.strip("[]"), int(self._port), type=socket.SOCK_STREAM
        )
        hosts = sorted({str(each[4][0]) for each in found})[:_MAX_GATEWAYS]
        counts = await asyncio.gather(
            *(asyncio.to_thread(self._counts, host) for host in hosts), return_exceptions=True
        )
        now = time.monotonic()
        increases = []
        failures = []
        for host, each in zip(hosts, counts, strict=True):
            if isinstance(each, BaseException):
                failures.append(each)
            else:
                increases.append(self._increase(host, now, each))
        self._past = {host: past for host, past in self._past.items() if host in hosts}
        if failures and not increases:
            raise OSError(f"{self._host}:{self._port}: no gateway answers") from failures[0]
        return _added(increases)

    def _counts(self, host: str) -> Buckets:
        """What a gateway has counted since its start; blocks. Errors: OSError, ValueError."""
        at = f"[{host}]" if ":" in host else host
        lines = _get(f"http://{at}:{self._port}/metrics").decode().split("\n")
        # A page is large, and parsing slow.
        ours = "\n".join(line for line in lines if line.startswith((_TTFT, _BETWEEN)))
        counts: dict[str, dict[float, float]] = {}
        for family in text_string_to_metric_families(f"{ours}\n"):
            for sample in family.samples:
                if sample.labels.get("model") == self._model:
                    of_class = counts.setdefault(sample.labels.get("class", ALL_CLASSES), {})
                    of_class[float(sample.labels.get("le", ""))] = _finite(sample.value)
        return counts

    def _increase(self, host: str, now: float, counts: Buckets) -> Buckets:
        past = self._past.setdefault(host, [])
        past.append((now, counts))
        while len(past) > 1 and past[1][0] <= now - WINDOW_SECONDS:
            past.pop(0)
        before = past[0][1]
        increase = {
            name: {le: count - before.get(name, {}).get(le, 0.0) for le, count in of_class.items()}
            for name, of_class in counts.items()
        }
        if any(count < 0 for of_class in increase.values() for count in of_class.values()):
            # It was started anew.
            past[:] = [(now, counts)]
            return counts
        return increase


def latency_of(
    first: Mapping[float, float], between: Mapping[float, float], slo_seconds: float
) -> Latency:
    """What the counts of first tokens and of the times between tokens say."""
    return Latency(
        ttft_p50_seconds=_quantile(first, 0.5),
        ttft_p99_seconds=_quantile(first, 0.99),
        inter_token_p99_seconds=_quantile(between, 0.99),
        within_slo=_share_within(first, slo_seconds),
    )


def _quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """By linear interpolation inside a bucket, as Prometheus does it; None where it has none."""
    rank = share * _total(buckets)
    if rank <= 0:
        return None
    low, below = 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if count >= rank:
            if bound == math.inf or count <= below:
                return low
            return low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low


def _share_within(buckets: Mapping[float, float], seconds: float) -> float | None:
    total = _total(buckets)
    if total <= 0:
        return None
    low, below = 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if bound >= seconds:
            if bound < math.inf:
                below += (count - below) * (seconds - low) / (bound - low)
            return below / total
        low, below = bound, count
    return below / total


def _total(buckets: Mapping[float, float]) -> float:
    return buckets[max(buckets)] if buckets else 0.0


def _added(all_buckets: Iterable[Buckets]) -> Buckets:
    together: dict[str, dict[float, float]] = {}
    for buckets in all_buckets:
        for name, of_class in buckets.items():
            into = together.setdefault(name, {})
            for le, count in of_class.items():
                into[le] = into.get(le, 0.0) + count
    return together


def _finite(count: float) -> float:
    if not math.isfinite(count):
        raise ValueError(f"a count of {count}")
    return count


def _get(url: str) -> bytes:
    """A page of bounded size, in bounded time; blocks. Errors: OSError, ValueError."""
    ends_at = time.monotonic() + _PAGE_SECONDS
    page = bytearray()
    try:
        with urllib.request.urlopen(url, timeout=_CALL_SECONDS) as answer:  # noqa: S310 - http from settings
            while chunk := answer.read1(_MAX_PAGE_BYTES):
                page += chunk
                if len(page) > _MAX_PAGE_BYTES:
                    raise ValueError(f"{url}: more than {_MAX_PAGE_BYTES} bytes")
                if time.monotonic() > ends_at:
                    raise TimeoutError(f"{url}: not read within {_PAGE_SECONDS:.0f} s")
            if answer.length:
                raise OSError(f"{url}: cut off")
    except HTTPException as error:
        raise OSError(f"{url}: {error!r}") from error
    return bytes(page)
