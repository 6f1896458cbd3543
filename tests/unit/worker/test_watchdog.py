"""The watchdog: stuck requests, stuck engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from facet.api.v1 import error_pb2
from facet.core.errors import EngineFailedError
from facet.queue.values import State
from facet.worker.engine.port import EngineDeadError
from facet.worker.runs import Runs
from facet.worker.watchdog import Watchdog
from tests.unit.worker.scripted import (
    TENANT,
    Bench,
    PacedEngine,
    claim,
    envelope,
    events_of,
    request,
    submit,
    until,
)

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Watched:
    engine: PacedEngine
    bench: Bench
    runs: Runs
    watching: asyncio.Task[None]

    async def start(self, name: str) -> None:
        """Start a request that waits inside of the engine."""
        data = envelope(name, request()).SerializeToString()
        await submit(self.bench.queue, name, data)
        self.engine.starved.clear()
        self.runs.start(await claim(self.bench.queue, f"n-{name}"))
        await asyncio.wait_for(self.engine.starved.wait(), 5)

    async def reason(self, name: str) -> int:
        """Why it failed."""
        return (await events_of(self.bench.queue, name))[-1].finished.failure.reason

    async def state(self, name: str) -> State:
        """How it stands in the queue."""
        return (await self.bench.queue.status(name, TENANT)).state


@asynccontextmanager
async def watched(engine: PacedEngine | None = None) -> AsyncIterator[Watched]:
    engine = engine or PacedEngine()
    bench = Bench(engine)
    runs = Runs(bench.queue, bench.writer, bench.place)
    watchdog = Watchdog(runs, bench.place, stall_seconds=0.2)
    watching = asyncio.create_task(watchdog.run())
    yield Watched(engine, bench, runs, watching)
    await runs.drain(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await bench.close()


async def test_a_lone_request_ends_as_stalled_when_the_engine_answers_a_probe() -> None:
    async with watched() as at:
        await at.start("g")
        await until(lambda: len(at.runs) == 0, 5.0)
        assert at.engine.probes == 1
        assert await at.reason("g") == error_pb2.ERROR_REASON_ENGINE_STALLED
        assert not at.watching.done()


async def test_the_engine_is_dead_and_nothing_is_ended_when_a_probe_gets_no_answer() -> None:
    async with watched() as at:
        at.engine.answers_probes = False
        await at.start("g")
        await at.start("h")
        await until(at.watching.done, 5.0)
        assert isinstance(at.watching.exception(), EngineDeadError)
        assert await at.state("g") is await at.state("h") is State.LEASED


async def test_the_request_is_stuck_and_not_the_engine_when_others_progress() -> None:
    async with watched() as at:
        # All seats are taken: the probe waits for one.
        at.engine.answers_probes = False
        data = envelope("stuck", request("[[stall@0]]")).SerializeToString()
        await submit(at.bench.queue, "stuck", data)
        at.runs.start(await claim(at.bench.queue, "n-stuck"))
        await at.start("h")
        while len(at.runs) == 2:
            at.engine.allow(1)
            await asyncio.sleep(0.05)
        assert await at.reason("stuck") == error_pb2.ERROR_REASON_ENGINE_STALLED
        assert await at.state("h") is State.LEASED
        assert not at.watching.done()


async def test_the_request_is_stuck_when_the_engine_fails_on_the_probe() -> None:
    class Failing(PacedEngine):
        async def probe(self) -> None:
            raise EngineFailedError("no")

    async with watched(Failing()) as at:
        await at.start("g")
        await until(lambda: len(at.runs) == 0, 5.0)
        assert await at.reason("g") == error_pb2.ERROR_REASON_ENGINE_STALLED


async def test_a_request_that_waits_for_a_slot_is_not_stalled() -> None:
    async with watched() as at:
        for _ in range(8):
            await at.bench.place.slots.acquire()
        await submit(at.bench.queue, "g", envelope("g", request()).SerializeToString())
        at.runs.start(await claim(at.bench.queue, "n"))
        with pytest.raises(AssertionError):
            await until(lambda: len(at.runs) == 0, 1.5)
        assert at.engine.probes == 0
        assert await events_of(at.bench.queue, "g") == []


async def test_the_watchdog_ends_when_the_engine_says_that_it_is_dead() -> None:
    class Dead(PacedEngine):
        async def check(self) -> None:
            raise EngineDeadError("gone")

    async with watched(Dead()) as at:
        await until(at.watching.done, 5.0)
        assert isinstance(at.watching.exception(), EngineDeadError)
