"""The cluster of a run: gateways and workers as processes, and their store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.processes import Process
from tests.chaos.store import Store
from tests.support.redis_server import free_port

_READY_SECONDS = 30.0

LEASE_SECONDS = 5.0
"""After so long without a sign of life a worker's requests go to others."""

SIMULATED: Mapping[str, str] = {
    "ENGINE": "simulated",
    # One to two ids every 60 ms: an answer lasts 1 to 4 s and is cut in many places.
    "SIMULATED_STEP_MS": "60",
    "SIMULATED_ACCEPTANCE_RATE": "0.3",
    "MAX_SEQUENCES": "12",
}
"""Settings of workers whose engine is simulated."""


@dataclass
class Cluster:
    """Its parts, running."""

    store: Store
    gateways: list[Process]
    workers: list[Process]
    addresses: list[str] = field(default_factory=list)

    def worker_of(self, name: str) -> Process | None:
        """The worker that carries this name in its present life."""
        return next((w for w in self.workers if worker_name(w.name, w.life) == name), None)

    def odd_exits(self) -> dict[str, list[int]]:
        """Exit codes of processes that ended otherwise than by SIGKILL."""
        return {p.name: p.odd_exits for p in (*self.gateways, *self.workers) if p.odd_exits}


def worker_name(place: str, life: int) -> str:
    """What a worker calls itself: another name in each life."""
    return f"{place}.{life}"


@asynccontextmanager
async def running_cluster(
    folder: Path,
    *,
    gateways: int,
    workers: int,
    worker_settings: Mapping[str, str],
    gateway_settings: Mapping[str, str] | None = None,
    gateway_release: Path | None = None,
    worker_release: Path | None = None,
    ready_seconds: float = _READY_SECONDS,
) -> AsyncIterator[Cluster]:
    """A cluster that serves; ended with the context. Errors: TimeoutError, RuntimeError.

    Releases are those that the processes begin with, see `Process`.
    """
    store = Store(folder / "store")
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(gateways)]
    cluster = Cluster(
        store,
        [
            gateway(i, folder, lambda: store.url, address, gateway_settings or {})
            for i, address in enumerate(addresses)
        ],
        [worker(i, folder, lambda: store.url, worker_settings) for i in range(workers)],
        addresses,
    )
    for each in cluster.gateways:
        each.release = gateway_release
    for each in cluster.workers:
        each.release = worker_release
    try:
        await store.start()
        async with kept_running([*cluster.gateways, *cluster.workers], ready_seconds):
            yield cluster
    finally:
        store.stop()


@asynccontextmanager
async def kept_running(processes: Sequence[Process], ready_seconds: float) -> AsyncIterator[None]:
    """All of them serve; ended with the context. Errors: TimeoutError."""
    waiters = ThreadPoolExecutor(len(processes))
    keepers = [asyncio.create_task(process.run(waiters)) for process in processes]
    try:
        for process in processes:
            await process.ready(ready_seconds)
        yield
    finally:
        for process in processes:
            process.close()
        await asyncio.gather(*keepers, return_exceptions=True)
        waiters.shutdown()


def gateway(
    index: int,
    folder: Path,
    store_url: Callable[[], str],
    address: str,
    settings: Mapping[str, str],
) -> Process:
    """A gateway to be run; the store's URL is asked for at each start."""

    def environment(life: int, ready_file: Path) -> dict[str, str]:
        del life
        fields = {
            "LISTEN": address,
            "REDIS_URL": store_url(),
            "ADDRESS_FILE": str(ready_file),
            "LOG_LEVEL": "WARNING",
            **settings,
        }
        return {f"FACET_GATEWAY_{name}": value for name, value in fields.items()}

    return Process(f"gateway-{index}", "facet.gateway", folder, environment)


def worker(
    index: int, folder: Path, store_url: Callable[[], str], settings: Mapping[str, str]
) -> Process:
    """A worker to be run; the store's URL is asked for at each start."""
    place = f"worker-{index}"

    def environment(life: int, ready_file: Path) -> dict[str, str]:
        fields = {
            "REDIS_URL": store_url(),
            "NAME": worker_name(place, life),
            "READY_FILE": str(ready_file),
            "LOG_LEVEL": "WARNING",
            **settings,
        }
        return {f"FACET_WORKER_{name}": value for name, value in fields.items()}

    return Process(place, "facet.worker", folder, environment)
