"""Two ways to read logs, compared: `python -m tools.bench.readers`.

`logs` blocks on the stream of every request at once; `inbox` on one stream that the same script
writes to as well. Both are reduced to what they ask of the store: no gateway, no queue. Prints one
JSON object as its last line; exits with 1 when an event did not come.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis.asyncio as redis
import uvloop

from tools.bench.figures import percentile_of_counts, report, say
from tools.bench.processes import (
    BenchError,
    leave_on_terminate,
    load_processes,
    memory_only_redis,
)
from tools.bench.script_times import ScriptTimes

DESIGNS = ("logs", "inbox")
STREAMS = (200, 1000)
RATE = 20.0
SECONDS = 10.0
_STREAMS_PER_WORKER = 25
_READ_AT_ONCE = 1000
_BLOCK_MS = 200
_SPARE_SECONDS = 60.0
_INBOX = "inbox"
_APPEND = """
for i, key in ipairs(KEYS) do
  if i > 1 then
    redis.call('XADD', key, '*', 'e', ARGV[1])
    if KEYS[1] ~= '' then redis.call('XADD', KEYS[1], '*', 'i', key, 'e', ARGV[1]) end
  end
end"""


@dataclass(frozen=True)
class Plan:
    """`streams` logs, each with `rate` events a second for `seconds`."""

    design: str
    streams: int
    rate: float = RATE
    seconds: float = SECONDS

    @property
    def steps(self) -> int:
        """Events of one log."""
        return round(self.rate * self.seconds)

    def logs(self) -> list[str]:
        """Their keys."""
        return [f"log:{number}" for number in range(self.streams)]


@dataclass
class Read:
    """What came; `delays` counts events in units of 0.1 ms."""

    events: int = 0
    calls: int = 0
    cpu_seconds: float = 0.0
    delays: Counter[int] = field(default_factory=Counter)

    def take(self, fields: Sequence[bytes]) -> None:
        """Account for one event."""
        self.events += 1
        self.delays[(time.monotonic_ns() - int(fields[-1])) // 100_000] += 1


def write(url: str, plan: Plan) -> None:
    """Append all events on time, a worker's logs in one script. Meant for a process of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_write(url, plan))


async def _write(url: str, plan: Plan) -> None:
    store = redis.Redis.from_url(url, protocol=2)
    append = store.register_script(_APPEND)
    logs = plan.logs()
    workers = [
        logs[first : first + _STREAMS_PER_WORKER]
        for first in range(0, plan.streams, _STREAMS_PER_WORKER)
    ]
    inbox = _INBOX if plan.design == "inbox" else ""
    begins_at = time.monotonic() + 0.5

    async def work(number: int, keys: list[str]) -> None:
        phase = number / len(workers) / plan.rate
        for step in range(plan.steps):
            due_at = begins_at + phase + step / plan.rate
            await asyncio.sleep(max(0.0, due_at - time.monotonic()))
            await append(keys=[inbox, *keys], args=[time.monotonic_ns()])

    await asyncio.gather(*(work(number, keys) for number, keys in enumerate(workers)))
    await store.aclose()


def read(url: str, plan: Plan) -> Read:
    """Read all events. Meant for a process of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_read(url, plan))


async def _read(url: str, plan: Plan) -> Read:
    store = redis.Redis.from_url(url, protocol=2)
    execute: Callable[..., Any] = store.execute_command
    keys = [_INBOX] if plan.design == "inbox" else plan.logs()
    positions: dict[Any, Any] = dict.fromkeys((key.encode() for key in keys), b"0")
    found, wanted = Read(), plan.streams * plan.steps
    ends_at = time.monotonic() + plan.seconds + _SPARE_SECONDS
    cpu = time.process_time()
    while found.events < wanted and time.monotonic() < ends_at:
        arguments = ("BLOCK", _BLOCK_MS, "COUNT", _READ_AT_ONCE, "STREAMS")
        reply = await execute("XREAD", *arguments, *positions, *positions.values())
        found.calls += 1
        for key, entries in reply or ():
            positions[key] = entries[-1][0]
            for _, fields in entries:
                found.take(list(fields.values()) if isinstance(fields, dict) else fields)
    found.cpu_seconds = time.process_time() - cpu
    await store.aclose()
    return found


def measure(url: str, plan: Plan, times: ScriptTimes, pool: ProcessPoolExecutor) -> dict[str, Any]:
    """One design at one number of streams."""
    times.empty()
    cpu, began = times.cpu_seconds(), time.monotonic()
    reader, writer = pool.submit(read, url, plan), pool.submit(write, url, plan)
    writer.result()
    found = reader.result()
    seconds = time.monotonic() - began
    return {
        "design": plan.design,
        "streams": plan.streams,
        "lost": plan.streams * plan.steps - found.events,
        "delay_ms": {
            f"p{share * 100:g}": percentile_of_counts(found.delays, share) / 10
            for share in (0.5, 0.99)
        },
        "redis_us_per_event": round(1e6 * (times.cpu_seconds() - cpu) / found.events, 2),
        "reader_us_per_event": round(1e6 * found.cpu_seconds / found.events, 2),
        "events_per_call": round(found.events / found.calls, 2),
        "seconds": round(seconds, 1),
    }


def run(options: argparse.Namespace, folder: Path) -> int:
    """Measure all; the exit status. Errors: BenchError."""
    levels = []
    with load_processes(2, niceness=0) as pool, memory_only_redis(folder) as server:
        times = ScriptTimes(server.address)
        for streams in options.streams:
            for design in DESIGNS:
                say(f"{streams} streams by {design}")
                plan = Plan(design, streams, seconds=options.seconds)
                levels.append(measure(server.address, plan, times, pool))
                say(str(levels[-1]))
        times.close()
    figures = {
        "benchmark": "readers",
        "lost": sum(level["lost"] for level in levels),
        "levels": levels,
    }
    return report(figures, {}, ("lost",))


def main() -> int:
    """Parse, run, report; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.readers", description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=list(STREAMS))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    leave_on_terminate()
    try:
        with tempfile.TemporaryDirectory(prefix="facet-bench-") as folder:
            return run(options, Path(folder))
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
