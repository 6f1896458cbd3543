"""A gateway's process with its metrics, of one process or of several."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.promtool import Scraped, check_metrics, scrape

START_SECONDS = 40.0
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class MetricsGateway:
    """The process and where it listens."""

    process: asyncio.subprocess.Process
    address: str
    metrics: str

    async def scrape(self) -> Scraped:
        """What it tells, which promtool approves of."""
        text = await asyncio.to_thread(scrape, self.metrics)
        await asyncio.to_thread(check_metrics, text)
        return Scraped(text)

    async def glance(self) -> Scraped:
        """What it tells."""
        return Scraped(await asyncio.to_thread(scrape, self.metrics))

    def children(self) -> dict[str, int]:
        """Pids of its processes by slot."""
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [int(pid) for pid in task.read_text().split()]
        return {variable(pid, "FACET_PROCESS_SLOT"): pid for pid in pids}

    async def stopped(self) -> int:
        """Its exit status after SIGTERM."""
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), STOP_SECONDS)


def variable(pid: int, name: str) -> str:
    """An environment variable of another process."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)[name]


@asynccontextmanager
async def metrics_gateway(
    redis_url: str, release: str, **settings: object
) -> AsyncIterator[MetricsGateway]:
    """Serve while the context is open; `settings` are the gateway's."""
    fields = {"metrics_listen": "127.0.0.1:0", "drain_seconds": 1, **settings}
    environment = {f"FACET_GATEWAY_{name.upper()}": str(value) for name, value in fields.items()}
    environment |= {"FACET_GATEWAY_REDIS_URL": redis_url, "FACET_GATEWAY_RELEASE": release}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "facet.gateway"),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        words = dict(word.split("=", 1) for word in line.decode().split()[1:])
        yield MetricsGateway(process, words["grpc"], words["metrics"])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
