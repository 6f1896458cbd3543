"""A call without a network."""

from __future__ import annotations

from collections.abc import Callable

from facet.core.telemetry.trace_context import context_of
from facet.gateway.authenticator import Metadata, Principal


class FakeCall:
    """Records what a service sends."""

    def __init__(
        self,
        tenant: str = "alice",
        *,
        metadata: Metadata = (),
        remaining_seconds: float | None = None,
    ) -> None:
        self.principal = Principal(tenant)
        self.tenant = tenant
        self.trace = context_of(metadata)
        self.announced: list[str] = []
        self.written: list[bytes] = []
        self.after: list[Callable[[], None]] = []
        self._remaining_seconds = remaining_seconds

    def remaining_seconds(self) -> float | None:
        return self._remaining_seconds

    async def announce(self, generation_id: str) -> None:
        self.announced.append(generation_id)

    async def write(self, response: bytes) -> None:
        self.written.append(response)

    def after_answer(self, act: Callable[[], None]) -> None:
        self.after.append(act)
