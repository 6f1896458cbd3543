"""The asyncio client's gateways, tried in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import grpc
from grpc import aio

from facet.api.v1 import (
    inference_service_pb2,
    inference_service_pb2_grpc,
    model_service_pb2_grpc,
)
from facet.client import connection, errors
from facet.client.persistence import (
    FIRST_CONTACT_SECONDS,
    PATIENCE_SECONDS,
    Persistence,
    is_broken,
)
from facet.client.tls import Tls

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
StreamCall: TypeAlias = (
    "aio.UnaryStreamCall[Any, inference_service_pb2.StreamGenerateContentResponse]"
)


class Gateway:
    """A channel to one address; connects when first needed."""

    def __init__(
        self, address: str, tls: Tls | None, credentials: grpc.ChannelCredentials | None
    ) -> None:
        options = connection.channel_options(address, tls)
        self.channel = (
            aio.secure_channel(address, credentials, options=options)
            if credentials
            else aio.insecure_channel(address, options=options)
        )
        self.inference = inference_service_pb2_grpc.InferenceServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)


class Gateways:
    """All addresses of a target. Calls go to one of them until it fails, then to the next."""

    def __init__(self, target: str, api_key: str | None, tls: Tls | None) -> None:
        """Errors: ValueError where the target holds no address; those of `Tls.credentials`."""
        addresses = connection.addresses_of(target)
        connection.warn_of_plaintext(addresses, api_key, tls)
        credentials = tls.credentials() if tls else None
        self._gateways = [Gateway(address, tls, credentials) for address in addresses]
        self._index = 0
        self._was_reached = False
        self._metadata = connection.call_metadata(api_key)
        self.is_closed = False

    @property
    def current(self) -> Gateway:
        """Where the next call goes."""
        return self._gateways[self._index]

    @property
    def patience_seconds(self) -> float:
        """How long a call is repeated without progress."""
        return PATIENCE_SECONDS if self._was_reached else FIRST_CONTACT_SECONDS

    def reached(self) -> None:
        """A gateway answered."""
        self._was_reached = True

    def leave(self, gateway: Gateway) -> None:
        """A call to a gateway broke: the next one goes elsewhere, if there is an elsewhere."""
        if self.current is gateway:
            self._index = (self._index + 1) % len(self._gateways)

    async def call(
        self,
        method: Callable[[Gateway], aio.UnaryUnaryMultiCallable[_Request, _Response]],
        request: _Request,
        timeout_seconds: float,
    ) -> _Response:
        """Call once; where that breaks, once at each other address. Errors: FacetApiError."""
        for _ in self._gateways[1:]:
            try:
                return await self.call_once(method, request, timeout_seconds)
            except errors.FacetApiError as error:
                if not is_broken(error):
                    raise
        return await self.call_once(method, request, timeout_seconds)

    async def call_persistently(
        self,
        method: Callable[[Gateway], aio.UnaryUnaryMultiCallable[_Request, _Response]],
        request: _Request,
        timeout_seconds: float,
        *,
        is_repeatable: bool,
        trace: tuple[tuple[str, str], ...] = (),
    ) -> _Response:
        """Call, and again while it breaks and is safe to repeat, as part of a trace.

        Errors: FacetApiError.
        """
        persistence = Persistence(timeout_seconds)
        while True:
            try:
                return await self.call_once(method, request, persistence.remaining_seconds, trace)
            except errors.FacetApiError as error:
                if not is_repeatable or not is_broken(error) or self.is_closed:
                    raise
                if error.generation_id:
                    # It was accepted: what broke is not what broke before.
                    persistence.progressed()
                delay = persistence.next_delay_seconds(self.patience_seconds)
                if delay is None:
                    raise
                await asyncio.sleep(delay)
                if self.is_closed:
                    raise

    async def call_once(
        self,
        method: Callable[[Gateway], aio.UnaryUnaryMultiCallable[_Request, _Response]],
        request: _Request,
        timeout_seconds: float,
        trace: tuple[tuple[str, str], ...] = (),
    ) -> _Response:
        """Call the current gateway. Errors: FacetApiError."""
        gateway = self.current
        metadata = (*self._metadata, *trace)
        try:
            response = await method(gateway)(request, timeout=timeout_seconds, metadata=metadata)
        except aio.AioRpcError as failed:
            known = connection.generation_id(failed.initial_metadata())
            error = errors.from_call(failed, known)
            if error.has_info:
                self.reached()
            if is_broken(error):
                self.leave(gateway)
            raise error from failed
        self.reached()
        return response

    def stream(
        self,
        request: inference_service_pb2.StreamGenerateContentRequest
        | inference_service_pb2.AttachGenerationRequest,
        timeout_seconds: float,
        trace: tuple[tuple[str, str], ...],
    ) -> tuple[Gateway, StreamCall]:
        """Open a streaming call, part of a trace; the gateway that it goes to, and the call."""
        gateway = self.current
        method: Any = gateway.inference.StreamGenerateContent
        if isinstance(request, inference_service_pb2.AttachGenerationRequest):
            method = gateway.inference.AttachGeneration
        metadata = (*self._metadata, *trace)
        return gateway, method(request, timeout=timeout_seconds, metadata=metadata)

    async def close(self) -> None:
        """Close the connections; calls under way end."""
        self.is_closed = True
        for gateway in self._gateways:
            await gateway.channel.close()
