"""What one gateway delivers: `python -m tools.bench.streams`.

Each level has a gateway and a Redis of its own, with an append-only file as in a node. Prints one
JSON object as its last line; exits with 1 when an event was lost, repeated or not delivered.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tools.bench import traffic
from tools.bench.figures import Wanted, percentile_of_counts, report, say
from tools.bench.processes import (
    BenchError,
    Started,
    gateway,
    leave_on_terminate,
    load_processes,
    node_redis,
)
from tools.bench.stream_clients import Received, follow
from tools.bench.stream_producer import Plan, Produced, produce

STREAMS = (200, 1000)
SECONDS = (60.0, 180.0)
RATE = 20.0
CLIENT_PROCESSES = 2
WARM_UP = Plan(streams=8, rate=20.0, seconds=1.0)
MAX_MEMORY = "4gb"
_PERIOD_SECONDS = 1.0
_SPARE_SECONDS = 240.0
_EARLY_SECONDS = 30.0
_WINDOW_SAMPLES = 5
ZEROS = ("lost", "duplicates", "undelivered", "refused")


@dataclass(frozen=True)
class Sample:
    """What gateway and store had used at one moment of the monotonic clock."""

    at_seconds: float
    gateway_cpu_seconds: float
    redis_cpu_seconds: float
    gateway_kb: int

    @classmethod
    def take(cls, server: Started, redis: Started) -> Sample:
        """Look at both processes."""
        return cls(
            time.monotonic(), server.cpu_seconds(), redis.cpu_seconds(), server.resident_kb()
        )


@dataclass(frozen=True)
class Outcome:
    """One level as it was measured; `idle_kb` is the gateway's memory before its streams."""

    plan: Plan
    produced: Produced
    received: Received
    samples: tuple[Sample, ...]
    idle_kb: int

    def figures(self) -> dict[str, Any]:
        """Everything that is reported of a level."""
        received, expected = self.received, self.plan.streams * self.plan.events_per_stream
        return {
            "streams": self.plan.streams,
            "events_per_second_wanted": self.plan.streams * self.plan.rate,
            "events": received.events,
            "lost": max(0, expected - received.events),
            "duplicates": received.duplicates,
            "gaps": received.gaps,
            "undelivered": self.plan.streams - received.finished,
            "refused": self.produced.refused,
            "failures": dict(received.failures),
            "delivery_delay_ms": {
                "p50": self.delay_ms(0.5),
                "p99": self.delay_ms(0.99),
                "max": self.delay_ms(1.0),
            },
            "events_per_message": round(received.events / max(received.messages, 1), 3),
            "events_per_append": round(expected / self._appends(), 3),
            **self._rates(),
            **self._memory(),
        }

    def delay_ms(self, share: float) -> float:
        """Delivery delay that this share of all events did not exceed."""
        if not self.received.delays:
            return float("inf")
        return percentile_of_counts(self.received.delays, share) / 10

    def _appends(self) -> int:
        """Writes of text events; each stream has one more for its end."""
        return max(self.produced.appends - self.plan.streams, 1)

    def _rates(self) -> dict[str, Any]:
        produced, received = self.produced, self.received
        seconds = (produced.ended_ns - produced.began_ns) / 1e9
        busy = [s for s in self.samples if self._since_begin(s) >= 0]
        first, last = busy[0], busy[-1]
        span = max(last.at_seconds - first.at_seconds, 1e-9)
        gateway_share = (last.gateway_cpu_seconds - first.gateway_cpu_seconds) / span
        rate = received.events / seconds
        return {
            "seconds": round(seconds, 1),
            "events_per_second": round(rate, 1),
            "producer_late_ms_p99": percentile_of_counts(produced.lateness, 0.99) / 10,
            "producer_retries": produced.retries,
            "gateway_cpu_share": round(gateway_share, 3),
            "gateway_cpu_seconds_per_1000_events": round(1000 * gateway_share / max(rate, 1), 4),
            "redis_cpu_share": round((last.redis_cpu_seconds - first.redis_cpu_seconds) / span, 3),
            "producer_cpu_share": round(produced.cpu_seconds / seconds, 3),
            "clients_cpu_share": round(received.cpu_seconds / seconds, 3),
        }

    def _memory(self) -> dict[str, Any]:
        busy = [s for s in self.samples if self._since_begin(s) >= 0]
        settled = [s for s in busy if self._since_begin(s) >= _EARLY_SECONDS] or busy
        early = median(s.gateway_kb for s in settled[:_WINDOW_SAMPLES])
        late = median(s.gateway_kb for s in settled[-_WINDOW_SAMPLES:])
        return {
            "rss_idle_kb": self.idle_kb,
            "rss_early_kb": early,
            "rss_end_kb": late,
            "rss_kb_per_stream": round((late - self.idle_kb) / self.plan.streams, 1),
            "rss_growth_kb": late - early,
        }

    def _since_begin(self, sample: Sample) -> float:
        return sample.at_seconds - self.produced.began_ns / 1e9


def measure(plan: Plan, folder: Path, pool: ProcessPoolExecutor) -> Outcome:
    """Run one level on a fresh store and gateway. Errors: BenchError."""
    with (
        node_redis(folder, max_memory=MAX_MEMORY) as redis,
        gateway(folder, redis.address, release=traffic.RELEASE, model=traffic.MODEL) as server,
    ):
        _run(WARM_UP, server, redis, pool)
        idle_kb = server.resident_kb()
        produced, received, samples = _run(plan, server, redis, pool)
        return Outcome(plan, produced, received, tuple(samples), idle_kb)


def _run(
    plan: Plan, server: Started, redis: Started, pool: ProcessPoolExecutor
) -> tuple[Produced, Received, list[Sample]]:
    producer = pool.submit(produce, redis.address, plan)
    bounds = [plan.streams * part // CLIENT_PROCESSES for part in range(CLIENT_PROCESSES + 1)]
    clients = [
        pool.submit(follow, server.address, high - low, plan.seconds + _SPARE_SECONDS)
        for low, high in pairwise(bounds)
    ]
    samples = _watch(server, redis, producer)
    try:
        produced = producer.result()
    except TimeoutError as error:
        # Ending the gateway, which the caller does, ends the clients.
        raise BenchError("the requests of all streams did not reach the workers") from error
    received = Received()
    for client in clients:
        received.add(client.result())
    return produced, received, samples


def _watch(server: Started, redis: Started, producer: Future[Produced]) -> list[Sample]:
    """Samples until everything is logged."""
    samples = []
    while not producer.done():
        samples.append(Sample.take(server, redis))
        time.sleep(_PERIOD_SECONDS)
    return [*samples, Sample.take(server, redis)]


def wanted(levels: Sequence[dict[str, Any]]) -> dict[str, Wanted]:
    """The bounds on the two levels that the benchmark is about, by name."""
    bounds = {}
    for level in levels:
        streams, delay = level["streams"], level["delivery_delay_ms"]
        if streams == STREAMS[0]:
            bounds["p99_ms_200"] = Wanted(delay["p99"], 50)
            bounds["events_per_message_200"] = Wanted(level["events_per_message"], 1.2)
        if streams == STREAMS[1]:
            bounds["p50_ms_1000"] = Wanted(delay["p50"], 200)
            bounds["p99_ms_1000"] = Wanted(delay["p99"], 1500)
            bounds["rss_kb_per_stream"] = Wanted(level["rss_kb_per_stream"], 50)
            # Two percent is what an allocator's own ups and downs amount to.
            bounds["rss_growth_kb"] = Wanted(
                level["rss_growth_kb"], round(level["rss_early_kb"] * 0.02)
            )
    return bounds


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.streams", description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=list(STREAMS))
    parser.add_argument("--seconds", type=float, nargs="+", default=list(SECONDS))
    parser.add_argument("--rate", type=float, default=RATE, help="events a second of a stream")
    parsed = parser.parse_args(given)
    if len(parsed.streams) != len(parsed.seconds):
        parser.error("as many --seconds as --streams")
    return parsed


def run(options: argparse.Namespace, folder: Path) -> int:
    """Run all levels; the exit status. Errors: BenchError."""
    levels = []
    with load_processes(CLIENT_PROCESSES + 1, niceness=0) as pool:
        for streams, seconds in zip(options.streams, options.seconds, strict=True):
            say(f"{streams} streams at {options.rate:g} events a second for {seconds:g} s")
            place = folder / str(streams)
            place.mkdir()
            outcome = measure(Plan(streams, options.rate, seconds), place, pool)
            levels.append(outcome.figures())
            say(f"delay {levels[-1]['delivery_delay_ms']}")
    sums = {name: sum(level[name] for level in levels) for name in ZEROS}
    head = {"benchmark": "streams", "redis": "appendonly yes, appendfsync everysec"}
    return report(head | sums | {"levels": levels}, wanted(levels), ZEROS)


def main() -> int:
    """Parse, run, report; the exit status."""
    options = arguments()
    leave_on_terminate()
    try:
        with tempfile.TemporaryDirectory(prefix="facet-bench-") as folder:
            return run(options, Path(folder))
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
