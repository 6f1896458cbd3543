"""A gateway in a process of its own: to be told to stop, or killed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc

from facet.queue.redis_queue import RedisQueue
from tests.integration.gateway.scripted_worker import ScriptedWorker

START_SECONDS = 20.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class GatewayProcess:
    """The process with a client's channel and a worker on its queue."""

    process: asyncio.subprocess.Process
    address: str
    channel: grpc.aio.Channel
    worker: ScriptedWorker

    async def kill(self) -> None:
        """SIGKILL: its readers hear nothing more, the store is told nothing."""
        self.process.kill()
        await self.process.wait()

    async def ended(self) -> int:
        """Its exit status, once it has ended by itself and printed nothing more."""
        assert self.process.stdout is not None
        status = await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        assert await self.process.stdout.read() == b""
        return status


@asynccontextmanager
async def gateway_process(
    redis_url: str, release: str, **settings: object
) -> AsyncIterator[GatewayProcess]:
    """Serve while the context is open; `settings` are the gateway's."""
    environment = {f"FACET_GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= {"FACET_GATEWAY_REDIS_URL": redis_url, "FACET_GATEWAY_RELEASE": release}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "facet.gateway"),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )
    assert process.stdout is not None
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_end, process)
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        assert line.startswith(b"READY grpc=127.0.0.1:")
        address = line.decode().split()[1].removeprefix("grpc=")
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        queue = RedisQueue.connect(redis_url, release=release, model="nano")
        stack.push_async_callback(queue.close)
        yield GatewayProcess(process, address, channel, ScriptedWorker(queue))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()
