"""A gateway of two processes on one port, told as one."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from prometheus_client.multiprocess import MultiProcessCollector

from facet.api.v1.inference_service_pb2 import GetGenerationRequest
from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from tests.integration.gateway.metrics_gateway import MetricsGateway, metrics_gateway, variable
from tests.integration.gateway.requests import failure_of
from tests.support.promtool import Scraped, scrape
from tests.support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.integration

SCRAPES = 50
CALLERS = 6
RESTART_SECONDS = 30.0
NAME = "facet_gateway_calls_total"
LABELS = {"method": "facet.v1.InferenceService/GetGeneration", "reason": "GENERATION_NOT_FOUND"}


@pytest.fixture
async def gateway(redis_server: RedisServer) -> AsyncIterator[MetricsGateway]:
    release = f"t{secrets.token_hex(6)}"
    async with metrics_gateway(redis_server.url, release, processes=2) as serving:
        yield serving


class Callers:
    """Calls that are counted here and by the gateway, each over a connection of its own."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.answered = 0
        self.asked = 0

    async def call(self) -> None:
        """One call, which finds no generation."""
        # Without its own pool a channel shares the connection of another.
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self._address, options=options) as channel:
            stub = InferenceServiceStub(channel)
            self.asked += 1
            code, _ = await failure_of(stub.GetGeneration(GetGenerationRequest(generation_id="x")))
            assert code is grpc.StatusCode.NOT_FOUND
            self.answered += 1

    async def go_on(self, stopped: asyncio.Event, *, forgiving: bool = False) -> None:
        """Call until told to stop; forgiving ones bear a process that dies."""
        while not stopped.is_set():
            try:
                await self.call()
            except (AssertionError, grpc.aio.AioRpcError):
                if not forgiving:
                    raise


def counted_in(gateway: MetricsGateway) -> dict[str, float]:
    """What each process has counted, by slot, from its own files."""
    counted = {}
    for slot, pid in gateway.children().items():
        folder = Path(variable(pid, "PROMETHEUS_MULTIPROC_DIR"))
        families = MultiProcessCollector.merge([str(folder / f"counter_{slot}.db")])  # type: ignore[no-untyped-call]
        counted[slot] = sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == NAME and sample.labels == LABELS
        )
    return counted


def assert_nothing_fell(before: Scraped, after: Scraped) -> None:
    now = after.counts()
    fallen = {key: (value, now.get(key)) for key, value in before.counts().items()}
    assert {k: v for k, v in fallen.items() if v[1] is None or v[1] < v[0]} == {}


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def is_there(folder: str) -> bool:
    return Path(folder).exists()


async def reached(condition: Callable[[], bool]) -> None:
    """Return when it holds; fails at the bound."""
    async with asyncio.timeout(RESTART_SECONDS):
        while not condition():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.01)


def refused(redis_url: str, **settings: object) -> tuple[int, str]:
    """Exit status and last line of a gateway that cannot start."""
    environment = {f"FACET_GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "facet.gateway"],
        env=os.environ | environment | {"FACET_GATEWAY_REDIS_URL": redis_url},
        capture_output=True,
        text=True,
        timeout=RESTART_SECONDS,
        check=False,
    )
    return done.returncode, done.stderr.splitlines(keepends=True)[-1]


async def test_scrapes_never_fall_and_are_the_sum_of_two_processes(
    gateway: MetricsGateway,
) -> None:
    callers, stopped = Callers(gateway.address), asyncio.Event()
    tasks = [asyncio.create_task(callers.go_on(stopped)) for _ in range(CALLERS)]
    before = await gateway.scrape()
    for _ in range(SCRAPES):
        least, told = callers.answered, await gateway.glance()
        assert_nothing_fell(before, told)
        assert least <= told.value(NAME, **LABELS) <= callers.asked
        before = told
    stopped.set()
    await asyncio.gather(*tasks)

    counted = counted_in(gateway)
    told = await gateway.scrape()
    assert told.value(NAME, **LABELS) == sum(counted.values()) == callers.answered
    assert len(counted) == 2
    assert all(counted.values())
    assert told.value("facet_gateway_processes") == 2


async def test_counters_stay_and_go_on_when_a_process_is_killed(gateway: MetricsGateway) -> None:
    callers, stopped = Callers(gateway.address), asyncio.Event()
    tasks = [asyncio.create_task(callers.go_on(stopped, forgiving=True)) for _ in range(CALLERS)]
    await reached(lambda: callers.answered >= 50)
    before = await gateway.scrape()
    victim = gateway.children()["0"]
    os.kill(victim, signal.SIGKILL)
    ends = time.monotonic() + RESTART_SECONDS
    seen: set[float] = set()
    while seen != {1, 2} or before.value("facet_gateway_processes") != 2:
        assert time.monotonic() < ends
        told = await gateway.glance()
        assert_nothing_fell(before, told)
        seen.add(told.value("facet_gateway_processes"))
        before = told
    at_restart = callers.answered
    await reached(lambda: callers.answered >= at_restart + 50)
    stopped.set()
    await asyncio.gather(*tasks)
    told = await gateway.scrape()

    assert gateway.children()["0"] != victim
    assert_nothing_fell(before, told)
    assert callers.answered <= told.value(NAME, **LABELS) <= callers.asked
    assert told.value(NAME, **LABELS) == sum(counted_in(gateway).values())


async def test_health_and_processes_end_together_when_the_gateway_is_told_to_stop(
    gateway: MetricsGateway,
) -> None:
    health = await asyncio.to_thread(scrape, gateway.metrics, "/health")
    folder = variable(gateway.children()["0"], "PROMETHEUS_MULTIPROC_DIR")
    pids = gateway.children().values()

    assert health == "SERVING\n"
    assert await gateway.stopped() == 0
    assert not any(map(is_running, pids))
    assert not is_there(folder)


async def test_processes_drain_when_their_supervisor_is_killed(gateway: MetricsGateway) -> None:
    pids = list(gateway.children().values())
    gateway.process.kill()
    await reached(lambda: not any(map(is_running, pids)))


async def test_start_is_refused_when_another_has_the_port(redis_server: RedisServer) -> None:
    port = free_port()
    settings = {"listen": f"127.0.0.1:{port}", "processes": 2}
    async with metrics_gateway(redis_server.url, "one", **settings):
        code, told = await asyncio.to_thread(refused, redis_server.url, **settings)

    assert (code, told) == (
        2,
        f"facet gateway: cannot listen on 127.0.0.1:{port}: in use, or no address of ours\n",
    )
