"""Filling a queue, and timing enqueue, claim, append and finish while its depth stays the same."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import uvloop

from facet.queue.redis_queue import RedisQueue
from facet.queue.values import Submission
from tools.bench import traffic
from tools.bench.figures import spread
from tools.bench.script_times import ScriptTimes

OPERATIONS = ("enqueue", "claim", "append", "finish")

_ROUNDS_PER_DRAIN = 250
_WARM_UP_ROUNDS = 200
_LANES = traffic.CONNECTIONS * 3 // 4
_TEXT = "token"


@dataclass
class Level:
    """Times at one depth, in microseconds by operation. `strays`: rounds that went otherwise."""

    waiting: int
    server_us: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    client_us: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    strays: int = 0

    def to_json(self) -> dict[str, object]:
        """Spreads by operation."""
        return {
            "waiting": self.waiting,
            "rounds": len(self.client_us["claim"]),
            "server_us": {name: spread(self.server_us[name]) for name in OPERATIONS},
            "client_us": {name: spread(self.client_us[name]) for name in OPERATIONS},
        }


def fill(url: str, model: str, first: int, count: int, deadline_ms: int) -> int:
    """Enqueue `count` requests numbered from `first`, as fast as one process can.

    Gives the sum of their envelopes' bytes. Meant for a process of its own.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_fill(url, model, range(first, first + count), deadline_ms))


async def _fill(url: str, model: str, numbers: range, deadline_ms: int) -> int:
    queue = traffic.connect(url, model=model)
    pending = (traffic.submission(number, deadline_ms=deadline_ms) for number in numbers)
    try:
        return sum(await asyncio.gather(*(_submit_all(queue, pending) for _ in range(_LANES))))
    finally:
        await queue.close()


async def _submit_all(queue: RedisQueue, pending: Iterator[Submission]) -> int:
    payload_bytes = 0
    for submission in pending:
        await traffic.insist(partial(queue.submit, submission))
        payload_bytes += len(submission.envelope)
    return payload_bytes


async def measure(
    queue: RedisQueue, times: ScriptTimes, waiting: int, *, rounds: int, phase: str
) -> Level:
    """Time rounds of claim, append, finish, enqueue on a queue where `waiting` requests wait."""
    level = Level(waiting)
    for number in range(min(rounds, _WARM_UP_ROUNDS)):
        await _round(queue, level, number)
    level.client_us.clear()
    times.drain(phase)
    with times.all_scripts():
        for number in range(rounds):
            await _round(queue, level, number)
            if number % _ROUNDS_PER_DRAIN == _ROUNDS_PER_DRAIN - 1 or number == rounds - 1:
                for name, microseconds in times.drain(phase).items():
                    level.server_us[name] += microseconds
    level.strays += await traffic.waiting(queue) != waiting
    return level


async def _round(queue: RedisQueue, level: Level, number: int) -> None:
    claim, fresh = traffic.claim("bench", 1), traffic.submission(number)
    times = [time.perf_counter_ns()]

    def lap() -> None:
        times.append(time.perf_counter_ns())

    result = await traffic.insist(partial(queue.claim, claim))
    lap()
    if len(result.claimed) != 1:
        level.strays += 1
        return
    lease = result.claimed[0].lease
    text = traffic.append(lease, 0, [traffic.text_event(0, _TEXT)])
    end = traffic.finish(lease, 1, traffic.last_event(1))
    results = await traffic.insist(partial(queue.write, [text]))
    lap()
    results += await traffic.insist(partial(queue.write, [end]))
    lap()
    await traffic.insist(partial(queue.submit, fresh))
    lap()
    level.strays += not all(traffic.is_written(each, at) for at, each in enumerate(results, 1))
    for name, begin, finish in zip(
        ("claim", "append", "finish", "enqueue"), times[:-1], times[1:], strict=True
    ):
        level.client_us[name].append((finish - begin) / 1000)
