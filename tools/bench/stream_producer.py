"""Workers without engines: they claim requests and log events at an exact rate.

Each worker steps all its requests together, as an engine does, and writes what is pending in one
call; while a write is under way the next gathers.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop

from facet.core.errors import StoreUnavailableError
from facet.core.tasks import cancel_all
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import Append, Claimed, Finish, Lease
from tools.bench import traffic
from tools.bench.stream_marks import mark

_CLAIM_SECONDS = 120.0
_HEARTBEAT_SECONDS = 1.0
_WAIT_MS = 500
_RETRY_SECONDS = 0.1
_HEAD_START_SECONDS = 0.5
_MICROSECONDS_PER_BUCKET = 100


@dataclass(frozen=True)
class Plan:
    """`streams` requests at `rate` events a second for `seconds`, spread evenly over workers."""

    streams: int
    rate: float
    seconds: float
    streams_per_worker: int = 25

    @property
    def events_per_stream(self) -> int:
        """The terminal event not counted."""
        return round(self.rate * self.seconds)

    def shares(self) -> list[int]:
        """How many requests each worker holds."""
        full, rest = divmod(self.streams, self.streams_per_worker)
        return [self.streams_per_worker] * full + ([rest] if rest else [])


@dataclass
class Produced:
    """What was logged. `lateness` counts steps by how late they came, in units of 0.1 ms."""

    began_ns: int = 0
    ended_ns: int = 0
    writes: int = 0
    appends: int = 0
    refused: int = 0
    retries: int = 0
    cpu_seconds: float = 0.0
    lateness: Counter[int] = field(default_factory=Counter)


def produce(url: str, plan: Plan) -> Produced:
    """Claim all requests of the plan, then log all their events. Meant for a process of its own.

    Errors: TimeoutError when the requests do not come.
    """
    # Nothing here makes cycles, and a collection would hold up all streams.
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_produce(url, plan))


async def _produce(url: str, plan: Plan) -> Produced:
    produced = Produced()
    workers = [
        _Worker(traffic.connect_default(url), plan, produced, number)
        for number in range(len(plan.shares()))
    ]
    try:
        async with asyncio.timeout(_CLAIM_SECONDS):
            beats = [asyncio.create_task(worker.beat()) for worker in workers]
            await asyncio.gather(*(worker.claim() for worker in workers))
        await cancel_all(beats)
        begins_at = time.monotonic() + _HEAD_START_SECONDS
        produced.began_ns = round(begins_at * 1e9)
        cpu = time.process_time()
        await asyncio.gather(*(worker.work(begins_at) for worker in workers))
        produced.cpu_seconds = time.process_time() - cpu
        produced.ended_ns = time.monotonic_ns()
    finally:
        for worker in workers:
            await worker.close()
    return produced


class _Worker:
    """One worker: its requests are all at the same event, so each step is serialized once."""

    def __init__(self, queue: RedisQueue, plan: Plan, produced: Produced, number: int) -> None:
        shares = plan.shares()
        self._queue = queue
        self._plan = plan
        self._produced = produced
        self._name = f"bench-{number}"
        self._wanted = shares[number]
        self._phase_seconds = number / len(shares) / plan.rate
        self._leases: list[Lease] = []
        self._pending: list[bytes] = []
        self._written = 0
        self._arrived = asyncio.Event()

    async def claim(self) -> None:
        """Return when it holds its share."""
        while (free := self._wanted - len(self._leases)) > 0:
            claim = traffic.claim(self._name, free, held=len(self._leases))
            claimed: Sequence[Claimed] = (await self._queue.claim(claim)).claimed
            self._leases += [each.lease for each in claimed]
            if not claimed:
                await traffic.wait_for_work(self._queue, self._name, _WAIT_MS)

    async def beat(self) -> None:
        """Keep the leases while others still claim."""
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            await traffic.renew(self._queue, self._name, self._leases)

    async def work(self, begins_at: float) -> None:
        """Make and write all events, the terminal ones too."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._step_all(begins_at + self._phase_seconds))
            tasks.create_task(self._write_all())

    async def close(self) -> None:
        """Release connections."""
        await self._queue.close()

    async def _step_all(self, begins_at: float) -> None:
        for index in range(self._plan.events_per_stream):
            due_at = begins_at + index / self._plan.rate
            early_seconds = due_at - time.monotonic()
            if early_seconds > 0:
                await asyncio.sleep(early_seconds)
            made_ns = time.monotonic_ns()
            late_us = max(0, made_ns // 1000 - round(due_at * 1e6))
            self._produced.lateness[late_us // _MICROSECONDS_PER_BUCKET] += 1
            self._pending.append(traffic.text_event(index, mark(index, made_ns)))
            self._arrived.set()

    async def _write_all(self) -> None:
        total = self._plan.events_per_stream
        while self._written < total:
            await self._arrived.wait()
            self._arrived.clear()
            events = list(self._pending)
            await self._write(
                [traffic.append(lease, self._written, events) for lease in self._leases],
                self._written + len(events),
            )
            del self._pending[: len(events)]
            self._written += len(events)
            if self._pending:
                self._arrived.set()
        end = traffic.last_event(total)
        await self._write([traffic.finish(lease, total, end) for lease in self._leases], total + 1)

    async def _write(self, writes: Sequence[Append | Finish], ends_at_offset: int) -> None:
        while True:
            try:
                results = await self._queue.write(writes)
            except StoreUnavailableError:
                self._produced.retries += 1
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            break
        self._produced.writes += 1
        self._produced.appends += len(writes)
        self._produced.refused += sum(
            not traffic.is_written(result, ends_at_offset) for result in results
        )
