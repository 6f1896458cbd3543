"""The processes of one machine as a whole: start order, end order, and what is told of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from facet.node.addresses import GatewayAddress
from facet.node.programs import Redis, gateway_program, worker_program
from facet.node.screen import Screen
from facet.node.settings import NodeSettings
from facet.node.state_dir import StateDir
from facet.node.supervised import ProcessState, Program, Supervised

_REFRESH_SECONDS = 1.0


class Node:
    """Redis, gateway and workers under supervision.

    They start in the order Redis, then workers and gateway together, and end in the order gateway,
    workers, Redis, so that what is under way can be finished or handed back.
    """

    def __init__(
        self,
        settings: NodeSettings,
        state_dir: StateDir,
        redis: Redis,
        screen: Screen,
        announce: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._state_dir = state_dir
        self._redis = redis
        self._screen = screen
        self._announce = announce
        self._address = GatewayAddress(settings.gateway_listen, state_dir.gateway_address)
        self._grpc = ""
        self._admin = ""
        self._processes: list[Supervised] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; `announce` hears the gateway's address when all is ready.

        Errors: StartFailedError; everything started is ended before it is raised.
        """
        settings, url = self._settings, self._redis.url
        workers = [
            worker_program(settings, self._state_dir, url, index)
            for index in range(settings.workers)
        ]
        gateway = gateway_program(settings, self._state_dir, url, self._address)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._refreshing())
            redis = self._redis.program(settings)
            started = await stack.enter_async_context(self._supervised([redis], stop))
            if not await _unless(stop, *(process.first_ready() for process in started)):
                return
            started = await stack.enter_async_context(self._supervised(workers, stop))
            started += await stack.enter_async_context(self._supervised([gateway], stop))
            if not await _unless(stop, *(process.first_ready() for process in started)):
                return
            self._screen.clear()
            self._announce(self._grpc)
            await stop.wait()

    def kill(self) -> None:
        """End every process by force, to hasten an end under way."""
        for process in self._processes:
            process.kill()

    @asynccontextmanager
    async def _supervised(
        self, programs: Sequence[Program], stop: asyncio.Event
    ) -> AsyncIterator[list[Supervised]]:
        processes = [Supervised(program, self._on_change) for program in programs]
        self._processes += processes
        tasks = [asyncio.create_task(process.run()) for process in processes]
        for task in tasks:
            # A supervisor that fails is a defect: end the node, do not go on half supervised.
            task.add_done_callback(lambda _: stop.set())
        try:
            yield processes
        finally:
            await asyncio.gather(*(process.stop() for process in processes))
            await asyncio.gather(*tasks)

    @asynccontextmanager
    async def _refreshing(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._refresh())
        try:
            yield
        finally:
            task.cancel()

    async def _refresh(self) -> None:
        while True:
            self._screen.refresh(self._processes, time.monotonic())
            self._state_dir.bound_logs()
            await asyncio.sleep(_REFRESH_SECONDS)

    def _on_change(self, process: Supervised, what: str) -> None:
        if process.name == "gateway" and process.state is ProcessState.READY:
            self._grpc = self._address.learn()
            self._admin = self._address.admin_listen
        self._screen.say(f"{process.name}: {what}")
        self._state_dir.write_state(
            {
                "pid": os.getpid(),
                "grpc": self._grpc,
                "admin": self._admin,
                "redis_url": self._redis.url,
                "processes": [
                    {
                        "name": process.name,
                        "pid": process.pid,
                        "state": process.state.name,
                        "restarts": process.restarts,
                    }
                    for process in self._processes
                ],
            }
        )


async def _unless(stop: asyncio.Event, *conditions: Awaitable[None]) -> bool:
    """Wait for all conditions; False when `stop` came first. Raises the first failure of one."""
    ready = asyncio.ensure_future(asyncio.gather(*conditions))
    stopped = asyncio.ensure_future(stop.wait())
    either: list[asyncio.Future[Any]] = [ready, stopped]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            return False
        await ready
        return True
    finally:
        for future in either:
            future.cancel()
        # Awaited, so that none is reported as an exception that nobody read.
        await asyncio.gather(*either, return_exceptions=True)
