"""Reports, and what their answers bring."""

from __future__ import annotations

import asyncio

import pytest

from facet.api.queue.v1.log_pb2 import WorkerReport
from facet.core.tasks import cancel_all
from facet.queue.memory_queue import MemoryQueue
from facet.worker.measures import Measures
from facet.worker.reporter import Reporter
from facet.worker.runs import Runs
from tests.unit.worker.scripted import Bench

pytestmark = pytest.mark.unit


async def test_a_drain_is_heard_of_when_an_operator_asks_for_it() -> None:
    bench = Bench()
    runs = Runs(bench.queue, bench.writer, bench.place)
    reporter = Reporter(bench.queue, bench.engine, runs, worker="w", model="nano")
    try:
        await reporter.report()
        assert not reporter.drain_asked.is_set()
        assert await bench.queue.drain_worker("w")
        await reporter.report()
        assert reporter.drain_asked.is_set()
    finally:
        await bench.close()


async def test_nothing_is_reported_any_more_when_the_worker_retired() -> None:
    bench = Bench()
    runs = Runs(bench.queue, bench.writer, bench.place)
    reporter = Reporter(bench.queue, bench.engine, runs, worker="w", model="nano")
    try:
        await reporter.report()
        (report,) = await bench.queue.reports()
        assert WorkerReport.FromString(report).name == "w"
        await reporter.retire()
        assert await bench.queue.reports() == []
        assert not await bench.queue.drain_worker("w")
    finally:
        await bench.close()


class _SlowReports(MemoryQueue):
    """A report takes effect when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = asyncio.Event()
        self.answers = asyncio.Event()

    async def report(self, worker: str, report: bytes) -> bool:
        """See `Consumer.report`."""
        self.is_asked.set()
        await self.answers.wait()
        return await super().report(worker, report)


async def test_no_report_is_left_when_one_was_under_way_as_the_worker_retired() -> None:
    queue = _SlowReports()
    bench = Bench(queue=queue)
    runs = Runs(queue, bench.writer, bench.place)
    reporter = Reporter(queue, bench.engine, runs, worker="w", model="nano")
    reporting = asyncio.create_task(reporter.run())
    try:
        await asyncio.wait_for(queue.is_asked.wait(), 5)
        retiring = asyncio.create_task(reporter.retire())
        await asyncio.sleep(0)
        queue.answers.set()
        await asyncio.wait_for(retiring, 5)
        await reporter.report()
        assert await queue.reports() == []
    finally:
        await cancel_all((reporting,))
        await bench.close()


async def test_pool_start_and_use_are_told_when_they_are_known() -> None:
    bench = Bench()
    runs = Runs(bench.queue, bench.writer, bench.place)
    measures = Measures("nano", "l4")
    reporter = Reporter(
        bench.queue,
        bench.engine,
        runs,
        worker="w",
        model="nano",
        measures=measures,
        profile="fp8",
    )

    async def reported() -> WorkerReport:
        await reporter.report()
        (report,) = await bench.queue.reports()
        return WorkerReport.FromString(report)

    try:
        report = await reported()
        assert (report.pool, report.profile) == ("l4", "fp8")
        assert not report.HasField("kv_use")
        assert not report.HasField("tokens_per_step")
        measures.took("load", 12.5)
        measures.engine.kv_use(0.25)
        measures.engine.drafts(2, [2, 2], [2, 1])
        report = await reported()
        assert dict(report.start_seconds) == {"load": 12.5}
        assert (report.kv_use, report.tokens_per_step) == (0.25, 2.5)
        assert 0 <= report.report_time.seconds - report.start_time.seconds < 10
    finally:
        await bench.close()
