"""Gateways and workers as processes over whatever store a test puts behind an address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from facet.queue.redis_queue import RedisQueue
from tests.chaos.cluster import SIMULATED, gateway, kept_running, worker
from tests.chaos.processes import Process
from tests.integration.faults.crowd import Crowd
from tests.support.conditions import until
from tests.support.redis_server import free_port

READY_SECONDS = 60.0
"""Python processes start slowly beside other work."""

_WORKERS = 2
_WORKER = {**SIMULATED, "MAX_SEQUENCES": "4"}
"""With more streams than both hold, some requests wait."""


@dataclass(frozen=True)
class House:
    """What serves, its clients, and a queue of the test's own to look at requests."""

    workers: list[Process]
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
    settings = {name.upper(): str(value) for name, value in gateway_settings.items()}
    entrance = gateway(0, folder, lambda: store_url, address, settings)
    places = [worker(index, folder, lambda: store_url, _WORKER) for index in range(workers)]
    processes = [entrance, *places]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(kept_running(processes, READY_SECONDS))
        queue = RedisQueue.connect(store_url, release="default", model="nano")
        stack.push_async_callback(queue.close)
        crowd = Crowd(address)
        stack.push_async_callback(crowd.close)
        yield House(places, crowd, queue)
    died = {process.name: process.odd_exits for process in processes if process.odd_exits}
    assert not died, f"processes ended by themselves: {died}"
