"""What the queue costs at 10, 10,000 and 1,000,000 waiting requests: `python -m tools.bench.queue`.

Runs a Redis of its own that writes nothing to disk, so that the figures are those of the scripts.
Prints one JSON object as its last line; exits with 1 when a request was lost or served twice.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

from tools.bench import queue_cycles, traffic
from tools.bench.figures import Wanted, report, say
from tools.bench.processes import (
    BenchError,
    leave_on_terminate,
    load_processes,
    memory_only_redis,
)
from tools.bench.queue_cycles import Lives
from tools.bench.queue_levels import OPERATIONS, Level, fill, measure
from tools.bench.script_times import ScriptTimes

LEVELS = (10, 10_000, 1_000_000)
MILLION = 1_000_000
EXPIRED = 100_000
CYCLE_SECONDS = 15.0
ROUNDS = 2000
PROCESSES = 2
# One core is for Redis: further processes would take from it what they are to measure.
CYCLE_PROCESSES = max(1, min(3, (os.cpu_count() or 1) - 1))
_NICENESS = 10
LARGEST_BATCHES = 3200
_HOUR_MS = 3_600_000
_DRAIN_SECONDS = 1.0


class QueueBench:
    """One run against one server; the figures gather in `figures`, and `wanted` beside them."""

    def __init__(self, url: str, pool: ProcessPoolExecutor, *, rounds: int) -> None:
        self._url = url
        self._pool = pool
        self._rounds = rounds
        self._times = ScriptTimes(url)
        self.figures: dict[str, Any] = {"lost": 0, "duplicates": 0, "refused": 0, "strays": 0}
        self.wanted: dict[str, Wanted] = {}

    def levels(self, depths: Sequence[int]) -> None:
        """Time the operations at each depth, the lowest at the end once more."""
        taken: list[Level] = []
        depth = 0
        for waiting in depths:
            self._fill(depth, waiting)
            depth = waiting
            taken.append(self._level(waiting, "levels"))
        self._times.empty()
        self._enqueue("again", 0, depths[0])
        taken.append(self._level(depths[0], "again"))
        self._times.empty()
        self.figures["levels"] = [level.to_json() for level in taken]
        self.figures["strays"] += sum(level.strays for level in taken)
        self._ratios(taken)

    def cycles(self, seconds: float) -> None:
        """Whole lives of requests in an empty store, from several processes."""
        say(f"cycles of enqueue, claim, append, finish for {seconds:g} s")
        lives = Lives()
        cpu, began = self._times.cpu_seconds(), time.monotonic()
        shares = [
            self._pool.submit(queue_cycles.cycle, self._url, "cycles", seconds)
            for _ in range(CYCLE_PROCESSES)
        ]
        for share in shares:
            lives.add(share.result())
        elapsed, cpu = time.monotonic() - began, self._times.cpu_seconds() - cpu
        self._times.drain("cycles")
        finished = len(lives.finished)
        self.figures |= {
            "cycles": finished,
            "cycle_processes": CYCLE_PROCESSES,
            "cycles_per_second": round(finished / elapsed, 1),
            "cycles_per_redis_cpu_second": round(finished / cpu, 1),
            "redis_cpu_share_in_cycles": round(cpu / elapsed, 3),
        }
        self.wanted["cycles_per_second"] = Wanted(
            self.figures["cycles_per_second"], 5000, is_floor=True
        )
        self._account(lives)
        self._times.empty()

    def largest_scripts(self, expired: int) -> None:
        """Sweeps of that many expired at once, and batches as large as the port allows."""
        say(f"{expired} requests that are expired already")
        self._enqueue("expired", 0, expired, deadline_ms=1)
        began = time.monotonic()
        swept = asyncio.run(queue_cycles.sweep_all(self._url, "expired"))
        self.figures |= {"expired": swept, "sweep_seconds": round(time.monotonic() - began, 2)}
        self.figures["lost"] += expired - swept
        self._times.drain("sweep")
        self._times.empty()
        say("the largest batches")
        self._account(
            asyncio.run(queue_cycles.serve_largest(self._url, "largest", LARGEST_BATCHES))
        )
        self._times.drain("largest batches")

    def close(self) -> None:
        """Add what the whole run gave."""
        worst = self._times.worst()
        slowest = worst[0].milliseconds if worst else 0.0
        self.figures |= {
            "max_script_ms": slowest,
            "slowest_scripts": [asdict(script) for script in worst],
            "scripts_over_5_ms": self._times.count_over_5_ms,
        }
        self.wanted["max_script_ms"] = Wanted(slowest, 5)
        self._times.close()

    def _level(self, waiting: int, model: str) -> Level:
        say(f"{waiting} waiting: timing {self._rounds} rounds")

        async def run() -> Level:
            queue = traffic.connect(self._url, model=model)
            try:
                return await measure(
                    queue, self._times, waiting, rounds=self._rounds, phase=f"{waiting} waiting"
                )
            finally:
                await queue.close()

        return asyncio.run(run())

    def _fill(self, depth: int, waiting: int) -> None:
        say(f"filling up to {waiting}")
        count = waiting - depth
        memory, began = self._times.used_memory(), time.monotonic()
        payload = self._enqueue("levels", depth, count)
        held = self._times.used_memory() - memory
        say(f"{count / (time.monotonic() - began):.0f} a second")
        # The last level tells: of few requests the store's own fluctuation is a large share.
        overhead = round((held - payload) / count, 1)
        self.figures |= {
            "payload_bytes_per_request": round(payload / count, 1),
            "overhead_bytes_per_request": overhead,
        }
        self.wanted["overhead_bytes_per_request"] = Wanted(overhead, 1000)

    def _enqueue(self, model: str, first: int, count: int, *, deadline_ms: int = _HOUR_MS) -> int:
        """Enqueue from all processes; the payload's bytes."""
        bounds = [first + count * part // PROCESSES for part in range(PROCESSES + 1)]
        shares = [
            self._pool.submit(fill, self._url, model, begin, end - begin, deadline_ms)
            for begin, end in pairwise(bounds)
        ]
        while not all(share.done() for share in shares):
            time.sleep(_DRAIN_SECONDS if count > 10 * PROCESSES else 0.01)
            self._times.drain(f"enqueue into {model}")
        return sum(share.result() for share in shares)

    def _ratios(self, taken: Sequence[Level]) -> None:
        """Medians of the server's times over the mean of both runs at the lowest depth."""
        lowest = (taken[0], taken[-1])
        ratios = {}
        for level in taken[1:-1]:
            ratios[str(level.waiting)] = {
                name: round(
                    median(level.server_us[name])
                    / mean(median(low.server_us[name]) for low in lowest),
                    3,
                )
                for name in OPERATIONS
            }
        self.figures["server_ratios"] = ratios
        for name in ("enqueue", "claim"):
            if str(MILLION) in ratios:
                ratio = self.figures[f"{name}_ratio_1m"] = ratios[str(MILLION)][name]
                self.wanted[f"{name}_ratio_1m"] = Wanted(ratio, 2.0)

    def _account(self, lives: Lives) -> None:
        self.figures["lost"] += lives.lost
        self.figures["duplicates"] += lives.duplicates
        self.figures["refused"] += lives.refused


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.queue", description=__doc__)
    parser.add_argument("--levels", type=int, nargs="+", default=list(LEVELS), metavar="WAITING")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed at each level")
    parser.add_argument("--seconds", type=float, default=CYCLE_SECONDS, help="of cycles")
    parser.add_argument("--expired", type=int, default=EXPIRED, help="swept at once")
    parsed = parser.parse_args(given)
    if sorted(set(parsed.levels)) != parsed.levels or parsed.levels[0] < 1:
        parser.error("levels are positive and rise")
    return parsed


def run(options: argparse.Namespace, folder: Path) -> int:
    """Run all of it; the exit status. Errors: BenchError."""
    with (
        load_processes(max(PROCESSES, CYCLE_PROCESSES), niceness=_NICENESS) as pool,
        memory_only_redis(folder) as redis,
    ):
        bench = QueueBench(redis.address, pool, rounds=options.rounds)
        bench.levels(options.levels)
        bench.cycles(options.seconds)
        bench.largest_scripts(options.expired)
        bench.close()
    head = {"benchmark": "queue", "redis": 'appendonly no, save ""', "cores": os.cpu_count()}
    return report(head | bench.figures, bench.wanted, ("lost", "duplicates", "refused", "strays"))


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
