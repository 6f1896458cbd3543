"""Standard health service, and the monitor that sets it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias

import grpc
import structlog
from grpc_health.v1 import health_pb2

from facet.core.errors import QueueFullError, StoreUnavailableError
from facet.core.telemetry.gateway_metrics import SERVING
from facet.gateway.authenticator import Authenticator
from facet.gateway.receiving import receive
from facet.queue.limits import FULL_RETRY_SECONDS
from facet.queue.port import Observer

SERVICE = "grpc.health.v1.Health"
CHECK_INTERVAL_SECONDS = 1.0
# Nobody has to say who he is to ask, so that these calls are kept few and short.
MAX_WATCHERS = 500
RECEIVE_SECONDS = 5.0

_NO_KEYS = "the keys of the identity provider were not read yet: see FACET_GATEWAY_OIDC_JWKS"

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Status = health_pb2.HealthCheckResponse

_log = structlog.get_logger(__name__)


class HealthService:
    """Answers for the server ("") and each of its services with one common state.

    Not the packaged servicer: that one holds a lock while it writes to a watcher, so that one
    stalled watcher would stop all changes of state.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._services = frozenset(services) | {""}
        self._is_serving = False
        self._is_draining = False
        self._changed = asyncio.Event()
        self._watchers = 0
        # By watcher: what will tell of the end of the state that it was sent.
        self._told: dict[object, asyncio.Event | None] = {}
        self._progress = asyncio.Event()

    @property
    def is_serving(self) -> bool:
        """The state that is announced."""
        return self._is_serving

    def set_serving(self, is_serving: bool) -> None:
        """Announce a state; once drained it stays NOT_SERVING."""
        is_serving = is_serving and not self._is_draining
        if is_serving != self._is_serving:
            self._is_serving = is_serving
            SERVING.set(is_serving)
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def drain(self) -> None:
        """Announce NOT_SERVING for good."""
        self._is_draining = True
        self.set_serving(False)

    async def told(self) -> None:
        """Return when all watchers were sent the present state; never while one stalls."""
        while any(told is not self._changed for told in self._told.values()):
            self._progress.clear()
            await self._progress.wait()

    def handler(self) -> grpc.GenericRpcHandler:
        """Handlers of `Check` and `Watch`; open to everybody, probes have no credentials."""

        async def check(requests: Any, context: Context) -> Any:
            return await self.check(await _received(context), context)

        async def watch(requests: Any, context: Context) -> None:
            if self._watchers >= MAX_WATCHERS:
                raise QueueFullError(
                    f"{MAX_WATCHERS} calls watch the health of this gateway; use Check",
                    retry_after_seconds=FULL_RETRY_SECONDS,
                )
            self._watchers += 1
            try:
                await self.watch(await _received(context), context)
            finally:
                self._watchers -= 1

        serializer = _Status.SerializeToString
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Check": grpc.stream_unary_rpc_method_handler(
                    check, response_serializer=serializer
                ),
                "Watch": grpc.stream_stream_rpc_method_handler(
                    watch, response_serializer=serializer
                ),
            },
        )

    async def check(self, request: Any, context: Context) -> Any:
        """`Check`: the state once. NOT_FOUND for a service that is not served."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return _Status(status=self._state(request.service))

    async def watch(self, request: Any, context: Context) -> None:
        """`Watch`: the state and each change of it, for as long as the client wants."""
        last, watcher = None, object()
        self._told[watcher] = None
        try:
            while True:
                changed = self._changed
                state = self._state(request.service)
                if state != last:
                    await context.write(_Status(status=state))
                    last = state
                self._told[watcher] = changed
                self._progress.set()
                await changed.wait()
        finally:
            del self._told[watcher]
            self._progress.set()

    def _state(self, service: str) -> Any:
        if service not in self._services:
            return _Status.SERVICE_UNKNOWN
        return _Status.SERVING if self._is_serving else _Status.NOT_SERVING


async def _received(context: Context) -> Any:
    return await receive(health_pb2.HealthCheckRequest, context, seconds=RECEIVE_SECONDS)


class ReadinessMonitor:
    """Sets the health: whether the store answers, and whether callers can be told apart yet."""

    def __init__(
        self,
        queues: Sequence[Observer],
        health: HealthService,
        authenticator: Authenticator,
    ) -> None:
        self._queues = queues
        self._health = health
        self._authenticator = authenticator
        self._told = ""

    async def check(self) -> None:
        """Ask once; a new reason not to serve is logged."""
        why = "" if self._authenticator.is_ready else _NO_KEYS
        cause = ""
        try:
            await asyncio.gather(*(queue.ping() for queue in self._queues))
        except StoreUnavailableError as error:
            why, cause = "the store is away", repr(error.__cause__)
        if why and why != self._told:
            _log.warning("not serving", why=why, cause=cause)
        self._told = why
        self._health.set_serving(not why)

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await self.check()
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)
