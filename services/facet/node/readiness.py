"""When a started process can be relied on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

_PING_SECONDS = 1.0


class Readiness(Protocol):
    """Tells whether a process is ready; asked again and again while it starts."""

    def forget(self) -> None:
        """Remove what an earlier process left, before the next one starts."""

    async def is_ready(self) -> bool:
        """Whether the process started last is ready."""


class FileReadiness:
    """Ready when the process has written its file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def forget(self) -> None:
        """See `Readiness.forget`."""
        self._path.unlink(missing_ok=True)

    async def is_ready(self) -> bool:
        """See `Readiness.is_ready`."""
        return self._path.exists()


class RedisReadiness:
    """Ready when the server answers a PING, that is: not before its data is loaded."""

    def __init__(self, port: int, password: str) -> None:
        self._port = port
        self._commands = f"AUTH {password}\r\nPING\r\n".encode()

    def forget(self) -> None:
        """See `Readiness.forget`; a server leaves nothing."""

    async def is_ready(self) -> bool:
        """See `Readiness.is_ready`."""
        try:
            return await asyncio.wait_for(self._ping(), _PING_SECONDS)
        except (OSError, TimeoutError):
            return False

    async def _ping(self) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._commands)
            return await reader.readline() == b"+OK\r\n" and await reader.readline() == b"+PONG\r\n"
        finally:
            writer.close()
