"""Calls as the services see them, and the tables that hang services on the gRPC server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import grpc
from google.protobuf.message import Message
from opentelemetry.context import Context, get_current

from facet.gateway.authenticator import Gatekeeper, Principal
from facet.gateway.call_trace import name_generation, response_marks
from facet.gateway.receiving import receive

GENERATION_ID_KEY = "facet-generation-id"


class Call(Protocol):
    """One authenticated call."""

    @property
    def principal(self) -> Principal:
        """Who calls, as authenticated."""

    @property
    def tenant(self) -> str:
        """The authenticated tenant."""

    @property
    def trace(self) -> Context:
        """Where spans of the call hang."""

    def remaining_seconds(self) -> float | None:
        """Time until the client's deadline, None without one."""

    async def announce(self, generation_id: str) -> None:
        """Send the initial metadata, which name the generation and the call."""

    async def write(self, response: bytes) -> None:
        """Send one serialized message of a streamed answer; waits while the client is behind."""

    def after_answer(self, act: Callable[[], None]) -> None:
        """Act once the call's whole answer, or its failure, was sent; never when it is cut off."""


class GrpcCall:
    """A `Call` over grpc.aio."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any], principal: Principal) -> None:
        self._context = context
        self._is_announced = False
        self.principal = principal
        self.tenant = principal.tenant
        self.trace = get_current()

    def remaining_seconds(self) -> float | None:
        """See `Call.remaining_seconds`."""
        return self._context.time_remaining()

    async def announce(self, generation_id: str) -> None:
        """See `Call.announce`."""
        self._is_announced = True
        name_generation(generation_id)
        await self._context.send_initial_metadata(
            ((GENERATION_ID_KEY, generation_id), *response_marks())
        )

    async def announce_itself(self) -> None:
        """Send initial metadata that name the call alone, unless some were sent."""
        if not self._is_announced:
            self._is_announced = True
            await self._context.send_initial_metadata(response_marks())

    async def write(self, response: bytes) -> None:
        """See `Call.write`."""
        if not self._is_announced:
            await self.announce_itself()
        await self._context.write(response)

    def after_answer(self, act: Callable[[], None]) -> None:
        """See `Call.after_answer`."""

        def ended(context: Any) -> None:
            if context.done():
                act()

        # The stubs ask for a class of their own where any function will do.
        self._context.add_done_callback(cast("Any", ended))


@dataclass(frozen=True)
class Unary:
    """A method that answers with one message."""

    request_type: type[Message]
    method: Callable[[Any, Call], Awaitable[Message]]


@dataclass(frozen=True)
class Streamed:
    """A method that writes serialized messages to its call."""

    request_type: type[Message]
    method: Callable[[Any, Call], Awaitable[None]]


def service_handler(
    name: str, methods: Mapping[str, Unary | Streamed], gatekeeper: Gatekeeper
) -> grpc.GenericRpcHandler:
    """Handlers of one service; nothing is read of a request before its caller is authenticated."""
    return grpc.method_handlers_generic_handler(
        name, {method: _handler(spec, gatekeeper) for method, spec in methods.items()}
    )


def _handler(spec: Unary | Streamed, gatekeeper: Gatekeeper) -> grpc.RpcMethodHandler[Any, Any]:
    async def behaviour(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        principal = await gatekeeper.authenticate(context.invocation_metadata() or ())
        request = await receive(spec.request_type, context)
        call = GrpcCall(context, principal)
        answer = await spec.method(request, call)
        await call.announce_itself()
        return answer

    # As takers of a stream they run before the request is read: gRPC would read the whole of it
    # into memory first, for whoever sends it and however long that takes.
    if isinstance(spec, Streamed):
        return grpc.stream_stream_rpc_method_handler(behaviour)
    return grpc.stream_unary_rpc_method_handler(behaviour, response_serializer=_serialize)


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
