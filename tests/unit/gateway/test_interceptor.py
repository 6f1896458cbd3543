"""Exceptions become statuses; what nobody serves is named."""

from __future__ import annotations

import contextlib
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from structlog.testing import capture_logs

from facet.core.errors import QueueFullError
from facet.gateway.interceptor import StatusInterceptor
from facet.queue.answers import store_unavailable

pytestmark = pytest.mark.unit


class FakeContext:
    """Records how a call is aborted."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.message = ""
        self.info = error_details_pb2.ErrorInfo()

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    async def abort(
        self, code: grpc.StatusCode, message: str, trailers: tuple[tuple[str, bytes], ...]
    ) -> None:
        self.code, self.message = code, message
        status = status_pb2.Status.FromString(dict(trailers)["grpc-status-details-bin"])
        assert status.details[0].Unpack(self.info)
        raise grpc.aio.AbortError


class Details:
    method = "/facet.v1.InferenceService/Do"
    invocation_metadata = ()


async def _called(behaviour: Any, *, is_stream: bool = False) -> FakeContext:
    make = (
        grpc.unary_stream_rpc_method_handler if is_stream else grpc.unary_unary_rpc_method_handler
    )

    async def find(details: Any) -> Any:
        return make(behaviour) if behaviour else None

    handler = await StatusInterceptor(16 << 10).intercept_service(find, Details())  # type: ignore[arg-type]
    function: Any = handler.unary_stream or handler.unary_unary or handler.stream_stream
    context = FakeContext()
    with contextlib.suppress(grpc.aio.AbortError):
        await function(None, context)
    return context


@pytest.mark.parametrize("is_stream", [True, False])
async def test_status_is_the_errors_when_a_call_raises_one(is_stream: bool) -> None:
    async def fail(request: Any, context: Any) -> None:
        raise QueueFullError("full", metadata={"limit": "9"})

    context = await _called(fail, is_stream=is_stream)
    assert (context.code, context.message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
    assert (context.info.reason, dict(context.info.metadata)) == ("QUEUE_FULL", {"limit": "9"})


async def test_incident_is_logged_and_hidden_when_a_call_fails_unexpectedly() -> None:
    async def fail(request: Any, context: Any) -> None:
        raise KeyError("secret")

    with capture_logs() as logs:
        context = await _called(fail)
    assert (context.code, context.info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in context.message
    [entry] = logs
    assert entry["incident_id"] == context.info.metadata["incident_id"]
    assert entry["incident_id"] in context.message


async def test_cause_is_logged_and_hidden_when_the_store_failed_the_call() -> None:
    async def fail(request: Any, context: Any) -> None:
        raise store_unavailable() from OSError("10.0.0.7 refused")

    with capture_logs() as logs:
        context = await _called(fail)
    assert (context.code, context.info.reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "STORE_UNAVAILABLE",
    )
    assert "10.0.0.7" not in context.message
    [entry] = logs
    assert "10.0.0.7" in entry["cause"]


async def test_method_is_named_when_nobody_serves_it() -> None:
    context = await _called(None)
    assert (context.code, context.info.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SERVED")
    assert dict(context.info.metadata) == {"feature": "facet.v1.InferenceService/Do"}


async def test_abort_passes_when_a_handler_aborts_by_itself() -> None:
    async def refuse(request: Any, context: Any) -> None:
        raise grpc.aio.AbortError

    with capture_logs() as logs:
        context = await _called(refuse)
    assert (context.code, logs) == (None, [])
