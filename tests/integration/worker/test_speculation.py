"""Worker processes whose drafts are accepted too seldom, as told from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facet.api.queue.v1.log_pb2 import WorkerReport
from facet.queue.redis_queue import RedisQueue
from facet.worker.health import SPECULATION
from tests.integration.worker.worker_process import (
    WorkerProcess,
    eventually,
    finished_log,
    ready,
    submit,
)
from tests.support.promtool import Scraped, check_metrics, scrape
from tests.support.redis_server import free_port
from tests.unit.worker.scripted import request

pytestmark = pytest.mark.integration

Start = Callable[..., WorkerProcess]
TELLS = {"metrics_listen": "127.0.0.1:0"}
LOW = {"simulated_acceptance_rate": 0.2, **TELLS}
"""Of a draft of three 0.08 are accepted so, a little more of few prompts; nano's floor is 0.25."""


def logged(worker: WorkerProcess, event: str) -> list[dict[str, Any]]:
    """The lines of its log that tell this."""
    lines = worker.log_file.read_text().splitlines()
    return [json.loads(line) for line in lines if f'"{event}"' in line]


def address_of(worker: WorkerProcess) -> str:
    return str(logged(worker, "metrics.listening")[0]["address"])


async def report_of(queue: RedisQueue) -> WorkerReport:
    """The report of the only worker, once it has one."""
    found: list[bytes] = []

    async def is_there() -> bool:
        found[:] = await queue.reports()
        return bool(found)

    await eventually(is_there, 10)
    return WorkerReport.FromString(found[0])


async def test_it_serves_and_says_so_everywhere_when_drafts_are_refused(
    queue: RedisQueue, start_worker: Start
) -> None:
    health = f"127.0.0.1:{free_port()}"
    worker = start_worker(**LOW, health_listen=health)
    await ready(worker)
    address = address_of(worker)

    async def is_noted() -> bool:
        return "speculation" in scrape(address, "/health")

    await eventually(is_noted, 10)
    state, note = scrape(address, "/health").splitlines()
    assert state == "SERVING"
    text = scrape(address)
    check_metrics(text)
    told = Scraped(text)
    assert told.total("facet_worker_speculation_healthy") == 0
    assert told.total("facet_worker_ready") == 1
    acceptance = told.total("facet_worker_speculation_acceptance")
    assert 0 < acceptance < 0.15
    assert note == f"speculation: acceptance {acceptance:.2f} below 0.25"
    report = (await report_of(queue)).speculation
    assert (report.healthy, report.floor) == (False, 0.25)
    assert report.acceptance == acceptance
    async with grpc.aio.insecure_channel(health) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        serving = await check(health_pb2.HealthCheckRequest())
        drafts = await check(health_pb2.HealthCheckRequest(service=SPECULATION))
    statuses = health_pb2.HealthCheckResponse.ServingStatus
    assert (serving.status, drafts.status) == (statuses.SERVING, statuses.NOT_SERVING)
    [change] = logged(worker, "speculation.unhealthy")
    assert change["level"] == "warning"

    events = await finished_log(queue, await submit(queue, request("a tale")), 30)
    assert not events[-1].finished.HasField("failure")


async def test_nothing_is_amiss_when_drafts_are_accepted(
    queue: RedisQueue, start_worker: Start
) -> None:
    worker = start_worker(**TELLS)
    await ready(worker)
    told = Scraped(scrape(address_of(worker)))
    assert told.total("facet_worker_speculation_healthy") == 1
    assert told.total("facet_worker_speculation_acceptance") > 0.25
    assert (await report_of(queue)).speculation.healthy
    assert scrape(address_of(worker), "/health") == "SERVING\n"
    [tested] = logged(worker, "speculation.self_tested")
    assert tested["is_complete"]
    # Its drafts are no traffic.
    assert told.total("facet_worker_drafted_tokens_total") == 0


async def test_the_share_follows_requests_when_enough_was_drafted(
    queue: RedisQueue, start_worker: Start
) -> None:
    worker = start_worker(**TELLS, simulated_step_ms=1)
    await ready(worker)
    address = address_of(worker)
    before = Scraped(scrape(address)).total("facet_worker_speculation_acceptance")
    made = request("a long tale", generationConfig={"minOutputTokens": 900})
    for _ in range(2):
        await finished_log(queue, await submit(queue, made), 60)
    told = Scraped(scrape(address))
    drafted = told.total("facet_worker_drafted_tokens_total")
    assert drafted > 1000
    share = told.total("facet_worker_accepted_tokens_total") / drafted
    assert told.total("facet_worker_speculation_acceptance") == pytest.approx(share)
    assert share != before


async def test_nothing_is_told_of_drafts_when_there_are_none(
    queue: RedisQueue, start_worker: Start
) -> None:
    worker = start_worker(**TELLS, speculative_tokens=0)
    await ready(worker)
    assert "facet_worker_speculation_healthy{" not in scrape(address_of(worker))
    assert not (await report_of(queue)).HasField("speculation")
    assert not logged(worker, "speculation.self_tested")
