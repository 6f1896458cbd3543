"""The gateway's real handlers, from bytes to status, over queues in memory."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from facet.api.queue.v1.envelope_pb2 import Envelope
from facet.api.v1.event_pb2 import Event, Finished, TextDelta
from facet.api.v1.generation_pb2 import FINISH_REASON_STOP
from facet.api.v1.inference_service_pb2 import StreamGenerateContentResponse
from facet.core.media_store import MemoryMediaStore
from facet.core.models import NANO
from facet.gateway.admin_service import SERVICE as ADMIN_SERVICE
from facet.gateway.admin_service import AdminService
from facet.gateway.authenticator import Gatekeeper
from facet.gateway.calls import Streamed, Unary, service_handler
from facet.gateway.catalogue import Catalogue, Route
from facet.gateway.erasure import Eraser
from facet.gateway.inference_service import SERVICE as INFERENCE_SERVICE
from facet.gateway.inference_service import InferenceService
from facet.gateway.intake import Intake, IntakeLimits
from facet.gateway.interceptor import StatusInterceptor
from facet.gateway.log_reader import LogReader
from facet.gateway.model_service import SERVICE as MODEL_SERVICE
from facet.gateway.model_service import ModelService
from facet.gateway.open_calls import OpenCalls
from facet.gateway.statuses import DETAILS_KEY
from facet.gateway.workers import LiveWorkers
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import Claim, Finish, Offers
from tools.fuzz.seeded import answer_of, check_content, check_told

UNHANDLED = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
CALL_SECONDS = 10.0
WORKER_PAUSE_SECONDS = 0.002
SWEEP_SECONDS = 0.02
MAX_METADATA_BYTES = 16 << 10
# How soon those who follow what was deleted meanwhile are told so goes by it.
READER_GRACE_SECONDS = 0.3
_OFFERS = Offers(envelope_versions=(1, 2), context_tokens=1 << 20, media="aiv")

_LIMITS = IntakeLimits(
    max_inline_bytes=1 << 20,
    max_inflight_inline_bytes=1 << 22,
    default_deadline_seconds=CALL_SECONDS,
    max_deadline_seconds=CALL_SECONDS,
    reader_grace_seconds=1,
    retention_seconds=1,
)


def is_operators(method: str) -> bool:
    """Whether a method, as `/service/method`, is one of the operators'."""
    return method.startswith(f"/{ADMIN_SERVICE}/")


class UnhandledError(Exception):
    """A call ended as only a defect may end it."""


class FuzzedGateway:
    """All services of a gateway without a network; its `log_reader` and its loops are to be run."""

    def __init__(self, gatekeeper: Gatekeeper) -> None:
        self.queue = MemoryQueue()
        self.log_reader = LogReader(self.queue, grace_seconds=READER_GRACE_SECONDS)
        catalogue = Catalogue([Route(NANO, self.queue, self.log_reader, LiveWorkers(self.queue))])
        media = MemoryMediaStore()
        intake = Intake(catalogue, media, _LIMITS)
        inference = InferenceService(catalogue, intake, OpenCalls(4096), Eraser(media))
        services: Mapping[str, Mapping[str, Unary | Streamed]] = {
            INFERENCE_SERVICE: inference.methods(),
            MODEL_SERVICE: ModelService(catalogue).methods(),
            ADMIN_SERVICE: AdminService({NANO.name: self.queue}, media).methods(),
        }
        self.request_types = {
            f"/{service}/{method}": spec.request_type
            for service, methods in services.items()
            for method, spec in methods.items()
        }
        self._handlers = [
            service_handler(service, methods, gatekeeper) for service, methods in services.items()
        ]

    async def call(self, method: str, body: bytes, metadata: Any) -> grpc.StatusCode:
        """Answer a call; its status.

        Errors: UnhandledError, from what went wrong; ToldError for what is another tenant's.
        """
        context = _Context(body, metadata)
        code = await self._answered(method, context)
        check_content(context.told)
        if not is_operators(method):
            check_told(self.request_types[method], body, code, context.told)
        return code

    async def _answered(self, method: str, context: _Context) -> grpc.StatusCode:
        details = _Details(method, context.invocation_metadata())
        handler: Any = await StatusInterceptor(MAX_METADATA_BYTES).intercept_service(
            self._found, details
        )
        behaviour = handler.stream_unary or handler.stream_stream
        try:
            answer = await behaviour(None, context)
        except grpc.aio.AbortError:
            return context.status()
        if handler.stream_unary:
            context.told.append(handler.response_serializer(answer))
        return grpc.StatusCode.OK

    async def work(self) -> None:
        """Answer what is queued, for ever. Errors: UnhandledError for an envelope that is none."""
        while True:
            claim = Claim("fuzz", secrets.token_hex(8), 64, 0, "fuzz", _OFFERS)
            for claimed in (await self.queue.claim(claim)).claimed:
                try:
                    Envelope.FromString(claimed.envelope)
                except DecodeError as error:
                    raise UnhandledError("an envelope cannot be read") from error
                text = answer_of(claimed.lease.generation_id)
                events = [
                    Event(offset=0, text_delta=TextDelta(text=text)),
                    Event(offset=1, finished=Finished(finish_reason=FINISH_REASON_STOP)),
                ]
                response = StreamGenerateContentResponse(events=events).SerializeToString()
                await self.queue.write([Finish(claimed.lease, 0, 2, (), response, failure=b"")])
            await asyncio.sleep(WORKER_PAUSE_SECONDS)

    async def sweep(self) -> None:
        """End what has waited too long, for ever."""
        while True:
            await self.queue.sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    async def _found(self, details: Any) -> Any:
        for handler in self._handlers:
            if (found := handler.service(details)) is not None:
                return found
        return None


class _Details:
    def __init__(self, method: str, metadata: Any) -> None:
        self.method = method
        self.invocation_metadata = metadata


class _Context:
    """What a handler may ask of a call."""

    def __init__(self, body: bytes, metadata: Any) -> None:
        self._body = body
        self._metadata = metadata
        self._code = grpc.StatusCode.OK
        self._cause: BaseException | None = None
        self.told: list[bytes] = []

    def invocation_metadata(self) -> Any:
        return self._metadata

    def time_remaining(self) -> float:
        return CALL_SECONDS

    async def read(self) -> bytes:
        return self._body

    async def write(self, message: bytes) -> None:
        if not isinstance(message, bytes):
            raise UnhandledError(f"wrote {type(message).__name__}")
        self.told.append(message)

    async def send_initial_metadata(self, metadata: Any) -> None:
        self.told += [str(value).encode() for _, value in metadata]

    async def abort(self, code: grpc.StatusCode, message: str, trailers: Any) -> None:
        self._code, self._cause = code, sys.exception()
        # The trailers must be readable for clients.
        status = status_pb2.Status.FromString(dict(trailers)[DETAILS_KEY])
        if not status.details[0].Unpack(error_details_pb2.ErrorInfo()):
            raise UnhandledError(f"no ErrorInfo with {code}")
        raise grpc.aio.AbortError

    def status(self) -> grpc.StatusCode:
        """How the call was ended. Errors: UnhandledError when it was by a defect."""
        if self._code in UNHANDLED:
            raise UnhandledError(f"{self._code.name}: {self._cause!r}") from self._cause
        return self._code
