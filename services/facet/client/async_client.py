"""The asyncio client: the surface of `Client`, awaited."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self, Unpack

from facet.api.v1 import inference_service_pb2, model_service_pb2
from facet.client import connection
from facet.client.async_gateways import Gateways
from facet.client.async_stream import AsyncStream
from facet.client.chat import Turns
from facet.client.content import Content, Part, Prompt
from facet.client.course import Course
from facet.client.generation import Generation, from_response
from facet.client.model import Model, decode_model
from facet.client.request import (
    CALL_TIMEOUT_SECONDS,
    GENERATE_TIMEOUT_SECONDS,
    MAX_PAGE,
    GenerateOptions,
    build_request,
    timeout_of,
    with_request_id,
)
from facet.client.stored import StoredGeneration, decode_stored
from facet.client.tls import Tls
from facet.client.tracing import ClientSpan

# `Client.list` hides the type in the class.
_Models = list[Model]
_StoredGenerations = list[StoredGeneration]


class AsyncClient:
    """A connection to a deployment, for one event loop; all as for `Client`."""

    def __init__(
        self,
        target: str = connection.DEFAULT_ADDRESS,
        *,
        api_key: str | None = None,
        tls: Tls | None = None,
        reattach: bool = True,
    ) -> None:
        """Errors: ValueError where the target holds no address; OSError for files of `tls`."""
        self._gateways = Gateways(target, api_key, tls)
        self._reattaches = reattach

    def stream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> AsyncStream:
        """Generate, and iterate over the events as they come. Not awaited.

        Errors: ValueError and TypeError at once for arguments that make no request; what the
        server says is raised while iterating.
        """
        return self._stream(prompt, options, None)

    async def generate(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> Generation:
        """Generate and wait for the end. Errors: FacetApiError, ValueError, TypeError."""
        options = with_request_id(options)
        request = inference_service_pb2.GenerateContentRequest(
            request=build_request(prompt, options)
        )
        with ClientSpan(request.request.model) as span:
            response = await self._gateways.call_persistently(
                lambda gateway: gateway.inference.GenerateContent,
                request,
                timeout_of(options),
                is_repeatable=self._may_repeat(options),
                trace=span.metadata,
            )
            span.end(response.generation_id)
        return from_response(response)

    async def submit(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> StoredGeneration:
        """Have it generated without a reader; returns as soon as it is accepted.

        It runs to its end unless `on_disconnect` says otherwise; `timeout_seconds` is its deadline
        all the same. Fetch it with `get`, or follow it with `attach`. Errors as for `generate`.
        """
        options = with_request_id(options)
        request = inference_service_pb2.SubmitGenerationRequest(
            request=build_request(prompt, options)
        )
        with ClientSpan(request.request.model) as span:
            response = await self._gateways.call_persistently(
                lambda gateway: gateway.inference.SubmitGeneration,
                request,
                timeout_of(options),
                is_repeatable=self._may_repeat(options),
                trace=span.metadata,
            )
            span.end(response.generation.generation_id)
        return decode_stored(response.generation)

    async def get(
        self,
        generation_id: str,
        *,
        wait: float = 0.0,
        timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> StoredGeneration:
        """A generation with its result, if it has ended, at the latest after `wait` seconds.

        `timeout_seconds` is for the answer after that. Errors: FacetApiError, NOT_FOUND where the
        server does not have it (any more).
        """
        request = inference_service_pb2.GetGenerationRequest(generation_id=generation_id)
        ends_at = time.monotonic() + wait
        while True:
            left_seconds = max(ends_at - time.monotonic(), 0.0)
            # In pieces: one that is repeated late must still end before its call's deadline.
            piece_seconds = min(left_seconds, timeout_seconds / 2)
            request.wait.FromMilliseconds(round(piece_seconds * 1000))
            response = await self._gateways.call_persistently(
                lambda gateway: gateway.inference.GetGeneration,
                request,
                piece_seconds + timeout_seconds,
                is_repeatable=self._reattaches,
            )
            stored = decode_stored(response.generation)
            if stored.has_ended or piece_seconds >= left_seconds:
                return stored

    async def list(
        self, *, limit: int = 50, timeout_seconds: float = CALL_TIMEOUT_SECONDS
    ) -> _StoredGenerations:
        """What the server keeps of the caller's generations, newest first, without results.

        At most `limit`; `timeout_seconds` is for each page of 1000. Errors: FacetApiError.
        """
        found: _StoredGenerations = []
        request = inference_service_pb2.ListGenerationsRequest()
        while len(found) < limit:
            request.page_size = min(limit - len(found), MAX_PAGE)
            response = await self._gateways.call(
                lambda gateway: gateway.inference.ListGenerations, request, timeout_seconds
            )
            found += [decode_stored(message) for message in response.generations]
            request.page_token = response.next_page_token
            if not request.page_token:
                break
        return found

    async def delete(
        self, generation_id: str, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS
    ) -> None:
        """Have an ended generation and its log forgotten. Errors: FacetApiError."""
        request = inference_service_pb2.DeleteGenerationRequest(generation_id=generation_id)
        await self._gateways.call(
            lambda gateway: gateway.inference.DeleteGeneration, request, timeout_seconds
        )

    def attach(
        self,
        generation_id: str,
        from_offset: int = 0,
        *,
        timeout_seconds: float = GENERATE_TIMEOUT_SECONDS,
    ) -> AsyncStream:
        """Follow a generation from an offset on: see `Client.attach`. Not awaited."""
        course = Course(
            timeout_seconds,
            generation_id=generation_id,
            from_offset=from_offset,
            reattaches=self._reattaches,
        )
        return AsyncStream(self._gateways, course)

    def chat(self, **options: Unpack[GenerateOptions]) -> AsyncChat:
        """A conversation; the options hold for every turn."""
        return AsyncChat(self, Turns(options))

    async def models(self, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> _Models:
        """What the deployment serves; the first is the default. Errors: FacetApiError."""
        request = model_service_pb2.ListModelsRequest()
        response = await self._gateways.call(
            lambda gateway: gateway.models.ListModels, request, timeout_seconds
        )
        return [decode_model(model) for model in response.models]

    async def model(self, name: str, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> Model:
        """One model. Errors: FacetApiError, NOT_FOUND where it is not configured."""
        request = model_service_pb2.GetModelRequest(name=name)
        response = await self._gateways.call(
            lambda gateway: gateway.models.GetModel, request, timeout_seconds
        )
        return decode_model(response.model)

    async def cancel(
        self, generation_id: str, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS
    ) -> bool:
        """End a generation at once; False where it had ended before. Errors: FacetApiError."""
        request = inference_service_pb2.CancelGenerationRequest(generation_id=generation_id)
        response = await self._gateways.call(
            lambda gateway: gateway.inference.CancelGeneration, request, timeout_seconds
        )
        return response.cancelled

    async def close(self) -> None:
        """Close the connections; streams under way end."""
        await self._gateways.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _stream(
        self,
        prompt: Prompt,
        options: GenerateOptions,
        on_result: Callable[[Generation], None] | None,
    ) -> AsyncStream:
        options = with_request_id(options)
        request = inference_service_pb2.StreamGenerateContentRequest(
            request=build_request(prompt, options)
        )
        course = Course(timeout_of(options), request=request, reattaches=self._reattaches)
        return AsyncStream(self._gateways, course, on_result)

    def _may_repeat(self, options: GenerateOptions) -> bool:
        return self._reattaches and bool(options.get("request_id"))


class AsyncChat:
    """A conversation that keeps its turns. One turn at a time."""

    def __init__(self, client: AsyncClient, turns: Turns) -> None:
        self._client = client
        self._turns = turns

    @property
    def contents(self) -> list[Content]:
        """The turns so far, oldest first."""
        return self._turns.contents

    def send(self, *parts: str | Part, **options: Unpack[GenerateOptions]) -> AsyncStream:
        """Say something and stream the answer; options override those of the conversation.

        The turn is kept when its stream was read to the end: a failed one leaves no trace.
        """
        prompt, merged = self._turns.ask(parts, options)
        turn = prompt[-1]
        return self._client._stream(prompt, merged, partial(self._turns.keep, turn))

    def reset(self) -> None:
        """Forget the turns."""
        self._turns.reset()
