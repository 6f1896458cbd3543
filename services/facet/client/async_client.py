"""The asyncio client: the surface of `Client`, awaited."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from grpc import aio

from facet.api.v1 import (
    inference_service_pb2,
    inference_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
)
from facet.client import connection, errors
from facet.client.chat import Turns
from facet.client.content import Content, Part, Prompt
from facet.client.events import StreamEvent
from facet.client.generation import Generation, StreamState, from_response
from facet.client.model import Model, decode_model
from facet.client.request import (
    CALL_TIMEOUT_SECONDS,
    GENERATE_TIMEOUT_SECONDS,
    GenerateOptions,
    build_request,
    timeout_of,
)

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class AsyncStream(AsyncIterator[StreamEvent]):
    """The events of one generation, in order; closing it early leaves the generation.

    Errors while iterating: FacetApiError, StreamCorruptedError. Use it in an `async with` block,
    or read it to its end. Cancelling the task that reads it closes it.
    """

    def __init__(
        self,
        call: aio.UnaryStreamCall[Any, inference_service_pb2.StreamGenerateContentResponse],
        on_result: Callable[[Generation], None] | None = None,
        from_offset: int = 0,
    ) -> None:
        self._call = call
        self._responses = aiter(call)
        self._state = StreamState(from_offset)
        self._pending: deque[StreamEvent] = deque()
        self._on_result = on_result
        self._result: Generation | None = None

    @property
    def generation_id(self) -> str:
        """The generation's id; empty until the server accepted it and something was read."""
        return self._state.generation_id

    @property
    def next_offset(self) -> int:
        """The offset after the last event that arrived."""
        return self._state.next_offset

    async def accepted(self) -> str:
        """Wait until the server has accepted the call; return the id, empty where it refused."""
        if not self._state.generation_id:
            metadata = await self._call.initial_metadata()
            self._state.generation_id = connection.generation_id(metadata)
        return self._state.generation_id

    async def __anext__(self) -> StreamEvent:
        while not self._pending:
            try:
                response = await anext(self._responses)
            except StopAsyncIteration:
                self._end()
                raise
            except aio.AioRpcError as error:
                known = connection.generation_id(error.initial_metadata())
                raise errors.from_call(error, known) from error
            except asyncio.CancelledError as error:
                # gRPC leaves a call open whose reader is cancelled before its first read.
                self.close()
                if _is_this_task_cancelled():
                    raise
                # gRPC says the same when the call was closed beside its reader, who lives on.
                raise errors.FacetApiError(
                    grpc.StatusCode.CANCELLED,
                    "the stream was closed",
                    generation_id=self.generation_id,
                ) from error
            await self.accepted()
            self._feed(response)
        return self._pending.popleft()

    async def result(self) -> Generation:
        """Read what is left and return the generation. Errors as while iterating."""
        async for _ in self:
            pass
        return self._end()

    def close(self) -> None:
        """Stop reading; the server acts by the request's `on_disconnect`."""
        self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _feed(self, response: inference_service_pb2.StreamGenerateContentResponse) -> None:
        try:
            self._pending.extend(self._state.feed(response))
        except errors.StreamCorruptedError:
            self.close()
            raise

    def _end(self) -> Generation:
        if self._result is None:
            self._result = self._state.result()
            if self._on_result is not None:
                self._on_result(self._result)
        return self._result


def _is_this_task_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class AsyncClient:
    """A connection to a gateway, for one event loop.

    `api_key` is sent as a bearer token. The connection is made when first needed.
    """

    def __init__(
        self, address: str = connection.DEFAULT_ADDRESS, *, api_key: str | None = None
    ) -> None:
        self._channel = aio.insecure_channel(address, options=connection.channel_options(address))
        self._metadata = connection.call_metadata(api_key)
        self._inference = inference_service_pb2_grpc.InferenceServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def stream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> AsyncStream:
        """Generate, and iterate over the events as they come. Not awaited.

        Errors: ValueError and TypeError at once for arguments that make no request; what the
        server says is raised while iterating.
        """
        return self._stream(prompt, options, None)

    async def generate(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> Generation:
        """Generate and wait for the end. Errors: FacetApiError, ValueError, TypeError."""
        request = inference_service_pb2.GenerateContentRequest(
            request=build_request(prompt, options)
        )
        method = self._inference.GenerateContent
        return from_response(await self._call(method, request, timeout_of(options)))

    def attach(
        self,
        generation_id: str,
        from_offset: int = 0,
        *,
        timeout_seconds: float = GENERATE_TIMEOUT_SECONDS,
    ) -> AsyncStream:
        """Follow a generation from an offset on: see `Client.attach`. Not awaited."""
        request = inference_service_pb2.AttachGenerationRequest(
            generation_id=generation_id, from_offset=from_offset
        )
        call = self._inference.AttachGeneration(
            request, timeout=timeout_seconds, metadata=self._metadata
        )
        return AsyncStream(call, from_offset=from_offset)

    def chat(self, **options: Unpack[GenerateOptions]) -> AsyncChat:
        """A conversation; the options hold for every turn."""
        return AsyncChat(self, Turns(options))

    async def models(self, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> list[Model]:
        """What the deployment serves; the first is the default. Errors: FacetApiError."""
        request = model_service_pb2.ListModelsRequest()
        response = await self._call(self._models.ListModels, request, timeout_seconds)
        return [decode_model(model) for model in response.models]

    async def model(self, name: str, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> Model:
        """One model. Errors: FacetApiError, NOT_FOUND where it is not configured."""
        request = model_service_pb2.GetModelRequest(name=name)
        response = await self._call(self._models.GetModel, request, timeout_seconds)
        return decode_model(response.model)

    async def cancel(
        self, generation_id: str, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS
    ) -> bool:
        """End a generation at once; False where it had ended before. Errors: FacetApiError."""
        request = inference_service_pb2.CancelGenerationRequest(generation_id=generation_id)
        method = self._inference.CancelGeneration
        return (await self._call(method, request, timeout_seconds)).cancelled

    async def close(self) -> None:
        """Close the connection; streams under way end."""
        await self._channel.close()

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
        request = inference_service_pb2.StreamGenerateContentRequest(
            request=build_request(prompt, options)
        )
        call = self._inference.StreamGenerateContent(
            request, timeout=timeout_of(options), metadata=self._metadata
        )
        return AsyncStream(call, on_result)

    async def _call(
        self,
        method: aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout_seconds: float,
    ) -> _Response:
        try:
            return await method(request, timeout=timeout_seconds, metadata=self._metadata)
        except aio.AioRpcError as error:
            raise errors.from_call(error) from error


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
