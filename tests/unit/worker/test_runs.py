"""Supervision of runs: heartbeats and drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from facet.core.media_store import MediaStore
from facet.core.telemetry import worker_metrics
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import Append, Finish, Lease, State, Verdict, WriteResult
from facet.worker import runs as runs_module
from facet.worker.engine.port import EngineDeadError
from facet.worker.log_writer import RunLog
from facet.worker.measures import Measures
from facet.worker.runs import Runs, account
from tests.unit.worker.scripted import (
    TENANT,
    AwayStore,
    Bench,
    PacedEngine,
    claim,
    envelope,
    events_of,
    kinds_of,
    request,
    submit,
    until,
)

pytestmark = pytest.mark.unit


@asynccontextmanager
async def supervising(media: MediaStore | None = None) -> AsyncIterator[tuple[Runs, Bench]]:
    bench = Bench(media=media)
    runs = Runs(bench.queue, bench.writer, bench.place)
    keeping = asyncio.create_task(runs.keep())
    yield runs, bench
    await runs.drain(0)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    if runs.engine_died.done():
        runs.engine_died.exception()
    await bench.close()


def engine_of(bench: Bench) -> PacedEngine:
    assert isinstance(bench.engine, PacedEngine)
    return bench.engine


async def start(runs: Runs, bench: Bench, name: str = "g") -> None:
    await submit(bench.queue, name, envelope(name, request()).SerializeToString())
    runs.start(await claim(bench.queue, f"n-{name}"))
    await asyncio.wait_for(engine_of(bench).starved.wait(), 5)


async def test_the_engine_is_aborted_within_a_second_when_a_silent_request_is_cancelled() -> None:
    async with supervising() as (runs, bench):
        await start(runs, bench)
        await bench.queue.cancel("g", TENANT)
        await until(lambda: engine_of(bench).aborted == 1, 1.0)
        await until(lambda: len(runs) == 0, 1.0)


async def test_a_request_ends_when_it_is_cancelled_while_the_media_store_is_away() -> None:
    async with supervising(AwayStore(failures=1_000_000)) as (runs, bench):
        made = envelope("g", request())
        made.media.add(key="k", mime_type="image/png")
        await submit(bench.queue, "g", made.SerializeToString())
        runs.start(await claim(bench.queue, "n"))
        await bench.queue.cancel("g", TENANT)
        await until(lambda: len(runs) == 0, 2.0)
        assert kinds_of(await events_of(bench.queue, "g")) == ["finished"]


async def test_runs_finish_when_they_can_within_the_drain_bound() -> None:
    async with supervising() as (runs, bench):
        await start(runs, bench)
        draining = asyncio.create_task(runs.drain(30.0))
        engine_of(bench).allow(1_000)
        await asyncio.wait_for(draining, 10)
        assert (await bench.queue.status("g", TENANT)).state is State.ENDED


async def test_runs_are_handed_back_with_all_their_events_when_the_drain_bound_passed() -> None:
    async with supervising() as (runs, bench):
        await start(runs, bench)
        engine_of(bench).starved.clear()
        engine_of(bench).allow(5)
        await asyncio.wait_for(engine_of(bench).starved.wait(), 5)
        await asyncio.wait_for(runs.drain(0), 10)
        status = await bench.queue.status("g", TENANT)
        assert (status.state, status.deaths) == (State.WAITING, 0)
        assert len((await claim(bench.queue, "m")).token_ids) == 5


class _SlowEnds(MemoryQueue):
    """Answers the write of a terminal event when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_ending = asyncio.Event()
        self.answers = asyncio.Event()

    async def write(self, writes: Sequence[Append | Finish]) -> list[WriteResult]:
        """See `Consumer.write`."""
        if any(isinstance(write, Finish) for write in writes):
            self.is_ending.set()
            await self.answers.wait()
        return await super().write(writes)


async def test_a_run_counts_as_finished_when_its_end_is_being_logged_at_the_drain() -> None:
    queue = _SlowEnds()
    bench = Bench(queue=queue)
    place = replace(bench.place, measures=Measures("nano", "slow-ends"))
    runs = Runs(queue, bench.writer, place)
    try:
        await start(runs, bench)
        engine_of(bench).allow(1_000)
        await asyncio.wait_for(queue.is_ending.wait(), 5)
        draining = asyncio.create_task(runs.drain(0))
        await asyncio.sleep(0)
        queue.answers.set()
        await asyncio.wait_for(draining, 5)
    finally:
        await bench.close()
    assert (await queue.status("g", TENANT)).state is State.ENDED
    counted = {
        (sample.labels.get("reason"), sample.labels.get("result"))
        for metric in (worker_metrics.ATTEMPTS, worker_metrics.DRAINED)
        for family in metric.collect()
        for sample in family.samples
        if sample.labels["pool"] == "slow-ends" and sample.name.endswith("_total") and sample.value
    }
    assert counted == {("OK", None), (None, "finished")}


async def test_the_death_of_the_engine_is_told_and_nothing_is_ended() -> None:
    async with supervising() as (runs, bench):
        await start(runs, bench)
        engine_of(bench).error = EngineDeadError("gone")
        engine_of(bench).allow(1)
        await until(runs.engine_died.done, 5.0)
        assert (await bench.queue.status("g", TENANT)).state is State.LEASED


def test_a_forgotten_lease_is_given_up_when_nobody_queues_the_request_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    woken: list[RunLog] = []
    log = RunLog(Lease("g", 1, "n"), 0, woken.append)
    is_rewound = []
    for verdict in (Verdict.REWOUND, Verdict.OK):
        account(log, verdict)
        is_rewound.append(log.rewound_at is not None)
    assert (is_rewound, woken) == ([True, False], [log])
    assert not log.lost.is_set()
    account(log, Verdict.REWOUND)
    monkeypatch.setattr(runs_module, "_REWOUND_SECONDS", -1.0)
    account(log, Verdict.REWOUND)
    assert log.lost.is_set()
