"""Tells others whether this worker claims: a file, and the gRPC health service."""

from __future__ import annotations

from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from facet.core.listener import bind

LIVENESS = "liveness"
"""Health service that says SERVING as long as the process answers, also while it drains."""

SPECULATION = "speculation"
"""Health service that says NOT_SERVING while there is a note on drafts."""


class Readiness:
    """`set` turns it on and off. `file` and `listen` are optional ways to show it.

    At `listen` the health service "" tells readiness, `LIVENESS` that the process works. `note`
    says what is amiss while requests are claimed all the same, and `SPECULATION` that it does.
    """

    def __init__(self, file: Path | None, listen: str) -> None:
        self._file = file
        self._listen = listen
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self.is_ready = False
        self.note = ""

    async def start(self) -> None:
        """Serve health, not ready yet. Errors: OSError when the address cannot be bound."""
        await self.set(is_ready=False)
        if not self._listen:
            return
        await self._health.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        self._server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        bind(self._server, self._listen, None)
        await self._server.start()

    async def set(self, *, is_ready: bool) -> None:
        """Show whether requests are claimed."""
        self.is_ready = is_ready
        status = health_pb2.HealthCheckResponse.ServingStatus
        await self._health.set("", status.SERVING if is_ready else status.NOT_SERVING)
        if self._file is None:
            return
        if is_ready:
            self._file.write_text("ready\n", encoding="ascii")
        else:
            self._file.unlink(missing_ok=True)

    async def set_note(self, note: str) -> None:
        """Show what is amiss with drafts, "" for nothing."""
        self.note = note
        status = health_pb2.HealthCheckResponse.ServingStatus
        await self._health.set(SPECULATION, status.NOT_SERVING if note else status.SERVING)

    async def stop(self) -> None:
        """End it."""
        await self.set(is_ready=False)
        if self._server is not None:
            await self._server.stop(grace=None)
