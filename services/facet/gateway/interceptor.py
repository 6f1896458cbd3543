"""The one place where exceptions become statuses, for every call of the server."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

import grpc
import structlog
from opentelemetry import trace

from facet.core.errors import (
    FacetError,
    InternalError,
    InvalidRequestError,
    NotServedError,
    StoreUnavailableError,
)
from facet.core.telemetry.tracing import UNTRACED, Tracing, fail
from facet.gateway.call_trace import is_traced, request_info, traced_call
from facet.gateway.measures import measured_call
from facet.gateway.receiving import in_bounded_time
from facet.gateway.statuses import abort_with

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Metadata: TypeAlias = "Iterable[tuple[str, str | bytes]] | None"
Behaviour = Callable[[Any, Context], Awaitable[Any]]

# By whether requests and responses are streams: what makes a handler, and its attribute.
_SHAPES: dict[tuple[bool, bool], tuple[Callable[..., Handler], str]] = {
    (False, False): (grpc.unary_unary_rpc_method_handler, "unary_unary"),
    (False, True): (grpc.unary_stream_rpc_method_handler, "unary_stream"),
    (True, False): (grpc.stream_unary_rpc_method_handler, "stream_unary"),
    (True, True): (grpc.stream_stream_rpc_method_handler, "stream_stream"),
}

_log = structlog.get_logger(__name__)


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Maps `FacetError` to its status and everything else to INTERNAL with an incident id.

    A method that no handler serves is answered UNIMPLEMENTED / NOT_SERVED with its name. One that
    is written as a generator (reflection) lasts a bounded time. Metadata above `max_metadata_bytes`
    are refused unread: gRPC bounds those of one frame of HTTP/2, and calls may send many. Calls of
    the API have a span each.
    """

    def __init__(self, max_metadata_bytes: int, tracing: Tracing = UNTRACED) -> None:
        self._max_metadata_bytes = max_metadata_bytes
        self._tracing = tracing

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """See `grpc.aio.ServerInterceptor.intercept_service`."""
        method = str(handler_call_details.method)
        if _size_of(handler_call_details.invocation_metadata) > self._max_metadata_bytes:
            return _refusing(
                InvalidRequestError.of("metadata", f"have at most {self._max_metadata_bytes} bytes")
            )
        handler = await continuation(handler_call_details)
        if handler is None:
            return _refusing(NotServedError.of(method.removeprefix("/")))
        wrap, name = _SHAPES[handler.request_streaming, handler.response_streaming]
        behaviour = getattr(handler, name)
        if inspect.isasyncgenfunction(behaviour):
            behaviour = in_bounded_time(behaviour)
        guarded = _guarded(method, behaviour)
        if is_traced(method):
            guarded = _traced(self._tracing, method, guarded)
        return wrap(
            guarded,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _size_of(metadata: Metadata) -> int:
    """In bytes, as HTTP/2 counts fields (RFC 9113, 6.5.2)."""
    return sum(len(name) + len(value) + 32 for name, value in metadata or ())


def _refusing(error: FacetError) -> Handler:
    async def refuse(requests: Any, context: Context) -> None:
        await abort_with(context, error)

    # Taking a stream, it answers before the request is read, whatever the method's true shape.
    return grpc.stream_stream_rpc_method_handler(refuse)


def _guarded(method: str, behaviour: Any) -> Behaviour:
    name = method.removeprefix("/")

    async def guarded(request: Any, context: Context) -> Any:
        try:
            with measured_call(name):
                return await behaviour(request, context)
        except FacetError as error:
            if isinstance(error, StoreUnavailableError):
                # Clients are not told addresses: what went wrong stands here only.
                _log.warning("the store failed a call", method=method, cause=repr(error.__cause__))
            await _tell(context, error)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: nothing else may reach a client
            await _tell(context, _unexpected(method, error))

    return guarded


def _traced(tracing: Tracing, method: str, behaviour: Behaviour) -> Behaviour:
    async def traced(request: Any, context: Context) -> Any:
        with traced_call(tracing, method, context.invocation_metadata() or ()):
            return await behaviour(request, context)

    return traced


async def _tell(context: Context, error: FacetError) -> None:
    fail(trace.get_current_span(), error)
    await abort_with(context, error, request_info())


def _unexpected(method: str, error: Exception) -> InternalError:
    incident_id = secrets.token_hex(8)
    _log.error("call failed unexpectedly", method=method, incident_id=incident_id, exc_info=error)
    return InternalError(
        f"internal error; the server's log has it as incident {incident_id}",
        metadata={"incident_id": incident_id},
    )
