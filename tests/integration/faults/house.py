"""Gateways and workers as processes over whatever store a test puts behind an address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from facet.queue.redis_queue import RedisQueue
from tests.chaos.cluster import SIMULATED, worker_name
from tests.chaos.processes import Process
from tests.integration.faults.crowd import Crowd
from tests.support.conditions import until
from tests.support.redis_server import free_port

READY_SECONDS = 60.0
"""Python processes start slowly beside other work."""

_WORKERS = 2
_CAPACITY = "4"
"""Of each worker: with more streams than both hold, some requests wait."""


@dataclass(frozen=True)
class House:
    """What serves, its clients, and a queue of the test's own to look at requests."""

    gateway: Process
    workers: list[Process]
    address: str
    crowd: Crowd
    queue: RedisQueue

    async def holds(self, requests: int) -> None:
        """Return when so many wait or run. Before, nobody may have ended that is counted."""

        async def are_held() -> bool:
            depth = await self.queue.depth()
            return depth.waiting + depth.leased == requests

        await until(are_held, seconds=READY_SECONDS)


@asynccontextmanager
async def running_house(
    folder: Path, store_url: str, *, workers: int = _WORKERS, **gateway_settings: object
) -> AsyncIterator[House]:
    """A gateway and workers with the simulated engine; ended with the context.

    The store must run. Errors: TimeoutError, RuntimeError.
    """
    address = f"127.0.0.1:{free_port()}"
    gateway = _gateway(folder, store_url, address, gateway_settings)
    places = [_worker(index, folder, store_url) for index in range(workers)]
    processes = [gateway, *places]
    waiters = ThreadPoolExecutor(len(processes))
    keepers = [asyncio.create_task(process.run(waiters)) for process in processes]
    queue = RedisQueue.connect(store_url, release="default", model="nano")
    crowd = Crowd(address)
    try:
        await asyncio.gather(*(process.ready(READY_SECONDS) for process in processes))
        yield House(gateway, places, address, crowd, queue)
    finally:
        await crowd.close()
        await queue.close()
        for process in processes:
            process.close()
        await asyncio.gather(*keepers, return_exceptions=True)
        waiters.shutdown()
    died = {process.name: process.odd_exits for process in processes if process.odd_exits}
    assert not died, f"processes ended by themselves: {died}"


def _gateway(folder: Path, url: str, address: str, settings: Mapping[str, object]) -> Process:
    def environment(life: int, ready_file: Path) -> dict[str, str]:
        del life
        fields = {
            "LISTEN": address,
            "REDIS_URL": url,
            "ADDRESS_FILE": ready_file,
            "LOG_LEVEL": "WARNING",
            **{name.upper(): value for name, value in settings.items()},
        }
        return {f"FACET_GATEWAY_{name}": str(value) for name, value in fields.items()}

    return Process("gateway", "facet.gateway", folder, environment)


def _worker(index: int, folder: Path, url: str) -> Process:
    place = f"worker-{index}"

    def environment(life: int, ready_file: Path) -> dict[str, str]:
        fields = {
            **SIMULATED,
            "MAX_SEQUENCES": _CAPACITY,
            "REDIS_URL": url,
            "NAME": worker_name(place, life),
            "READY_FILE": str(ready_file),
            "LOG_LEVEL": "WARNING",
        }
        return {f"FACET_WORKER_{name}": value for name, value in fields.items()}

    return Process(place, "facet.worker", folder, environment)
