"""A collector for tests: a real OTLP TraceService, one that hangs, and one that is away."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it arrived: ids in hexadecimal, times in nanoseconds since 1970."""

    service: str
    instance: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start_ns: int
    end_ns: int
    is_error: bool
    attributes: dict[str, Any]


@dataclass
class Receiver(TraceServiceServicer):
    """Keeps all that it is sent; `raw` is all of it as text."""

    address: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list)
    raw: str = ""
    requests: int = 0

    def Export(
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        """See the protocol."""
        self.requests += 1
        self.raw += str(request)
        for resource in request.resource_spans:
            told = _values(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_received(span, told) for span in scope.spans]
        return ExportTraceServiceResponse()

    def named(self, name: str) -> list[ReceivedSpan]:
        """Those of one name, oldest first."""
        return sorted((s for s in self.spans if s.name == name), key=lambda span: span.start_ns)

    def names(self) -> set[str]:
        """All names so far."""
        return {span.name for span in self.spans}

    def wait(self, condition: Callable[[], bool], bound_seconds: float = 15.0) -> None:
        """Return when the condition holds; fail at the bound with what arrived."""
        ends = time.monotonic() + bound_seconds
        while not condition():
            assert time.monotonic() < ends, sorted((s.service, s.name) for s in self.spans)
            time.sleep(0.02)


@contextmanager
def otlp_receiver(credentials: grpc.ServerCredentials | None = None) -> Iterator[Receiver]:
    """Receive on a loopback port while the context is open, over TLS with credentials."""
    server = grpc.server(ThreadPoolExecutor(2))
    receiver = Receiver()
    add_TraceServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call]
    listen = "127.0.0.1:0"
    port = (
        server.add_secure_port(listen, credentials)
        if credentials
        else server.add_insecure_port(listen)
    )
    receiver.address = f"127.0.0.1:{port}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(None).wait()


@contextmanager
def silent_receiver() -> Iterator[str]:
    """The address of one that takes connections and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def take() -> None:
        while True:
            try:
                taken.append(listener.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
        for connection in taken:
            connection.close()


def _received(span: Any, told: dict[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        service=told["service.name"],
        instance=told.get("service.instance.id", ""),
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes=_values(span.attributes),
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
