"""Gateways and workers as processes that are replaced one after another."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.conditions import until
from tests.support.redis_server import free_port

_START_SECONDS = 40.0
_STOP_SECONDS = 20.0


@dataclass
class Service:
    """One process; `variables` are its environment, by their whole names."""

    module: str
    ready_file: Path
    variables: Mapping[str, str]
    _process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and return when it serves."""
        self._launch()

        async def is_ready() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.ready_file.with_suffix(".log").read_text()
            return self.ready_file.exists()

        await until(is_ready, seconds=_START_SECONDS)

    def _launch(self) -> None:
        self.ready_file.unlink(missing_ok=True)
        with self.ready_file.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                env=os.environ | dict(self.variables),
                stdout=log,
                stderr=log,
            )

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return await asyncio.to_thread(self._process.wait, _STOP_SECONDS)

    def end(self) -> None:
        """Kill it, if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)


@dataclass
class Fleet:
    """Two gateways and two workers with the simulated engine."""

    folder: Path
    redis_url: str
    release: str
    addresses: list[str] = field(
        default_factory=lambda: [f"127.0.0.1:{free_port()}" for _ in range(2)]
    )
    _services: dict[str, Service] = field(default_factory=dict)

    async def roll_out(self, queue_shards: int) -> None:
        """Replace gateways and workers in turn, by gateways that place over so many shards."""
        for number, address in enumerate(self.addresses):
            await self._replace(f"gateway-{number}", self._gateway(address, queue_shards))
            await self._replace(f"worker-{number}", self._worker())

    def end(self) -> None:
        """Kill what runs."""
        for service in self._services.values():
            service.end()

    async def _replace(self, name: str, variables: Mapping[str, str]) -> None:
        kind = name.partition("-")[0]
        if name in self._services:
            assert await self._services[name].stop() == 0
        ready_file = self.folder / name
        file_field = "ADDRESS_FILE" if kind == "gateway" else "READY_FILE"
        common = {
            "REDIS_URL": self.redis_url,
            "RELEASE": self.release,
            "LOG_LEVEL": "INFO",
            file_field: str(ready_file),
        }
        prefix = f"FACET_{kind.upper()}_"
        environment = {f"{prefix}{key}": value for key, value in {**common, **variables}.items()}
        self._services[name] = Service(f"facet.{kind}", ready_file, environment)
        await self._services[name].start()

    def _gateway(self, address: str, queue_shards: int) -> dict[str, str]:
        return {
            "LISTEN": address,
            "QUEUE_SHARDS": str(queue_shards),
            "DRAIN_SECONDS": "1",
        }

    def _worker(self) -> dict[str, str]:
        return {
            "ENGINE": "simulated",
            "SIMULATED_STEP_MS": "20",
            "MAX_SEQUENCES": "8",
            "DRAIN_SECONDS": "1",
        }
