"""Reports, and what their answers bring."""

from __future__ import annotations

import pytest

from facet.api.queue.v1.log_pb2 import WorkerReport
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
