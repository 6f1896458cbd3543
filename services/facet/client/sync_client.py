"""The blocking client."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

import grpc

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


class Stream(Iterator[StreamEvent]):
    """The events of one generation, in order; closing it early leaves the generation.

    Errors while iterating: FacetApiError, StreamCorruptedError. Use it in a `with` block, or read
    it to its end.
    """

    def __init__(
        self,
        call: Any,
        on_result: Callable[[Generation], None] | None = None,
        from_offset: int = 0,
    ) -> None:
        self._call = call
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

    def accepted(self) -> str:
        """Wait until the server has accepted the call; return the id, empty where it refused."""
        if not self._state.generation_id:
            self._state.generation_id = connection.generation_id(self._call.initial_metadata())
        return self._state.generation_id

    def __next__(self) -> StreamEvent:
        while not self._pending:
            try:
                response = next(self._call)
            except StopIteration:
                self._end()
                raise
            except grpc.RpcError as error:
                raise errors.from_call(cast("Any", error), self.accepted()) from error
            self._feed(response)
        return self._pending.popleft()

    def result(self) -> Generation:
        """Read what is left and return the generation. Errors as while iterating."""
        for _ in self:
            pass
        return self._end()

    def close(self) -> None:
        """Stop reading; the server acts by the request's `on_disconnect`."""
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _feed(self, response: inference_service_pb2.StreamGenerateContentResponse) -> None:
        self.accepted()
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


class Client:
    """A connection to a gateway, safe to share between threads.

    `api_key` is sent as a bearer token. The connection is made when first needed.
    """

    def __init__(
        self, address: str = connection.DEFAULT_ADDRESS, *, api_key: str | None = None
    ) -> None:
        self._channel = grpc.insecure_channel(address, options=connection.channel_options(address))
        self._metadata = connection.call_metadata(api_key)
        self._inference = inference_service_pb2_grpc.InferenceServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def stream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> Stream:
        """Generate, and iterate over the events as they come.

        Errors: ValueError and TypeError at once for arguments that make no request; what the
        server says is raised while iterating.
        """
        return self._stream(prompt, options, None)

    def generate(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> Generation:
        """Generate and wait for the end. Errors: FacetApiError, ValueError, TypeError."""
        request = inference_service_pb2.GenerateContentRequest(
            request=build_request(prompt, options)
        )
        return from_response(
            self._call(self._inference.GenerateContent, request, timeout_of(options))
        )

    def attach(
        self,
        generation_id: str,
        from_offset: int = 0,
        *,
        timeout_seconds: float = GENERATE_TIMEOUT_SECONDS,
    ) -> Stream:
        """Follow a generation from an offset on, whoever asked for it.

        To go on after a stream broke, give its `generation_id` and `next_offset`: nothing is
        missing, nothing repeated. `result()` holds what came from `from_offset` on. Errors while
        iterating: FacetApiError (GENERATION_NOT_FOUND, OFFSET_OUT_OF_RANGE, and whatever the
        generation ends with), StreamCorruptedError also where `from_offset` lies past the end.
        """
        request = inference_service_pb2.AttachGenerationRequest(
            generation_id=generation_id, from_offset=from_offset
        )
        call = self._inference.AttachGeneration(
            request, timeout=timeout_seconds, metadata=self._metadata
        )
        return Stream(call, from_offset=from_offset)

    def chat(self, **options: Unpack[GenerateOptions]) -> Chat:
        """A conversation; the options hold for every turn."""
        return Chat(self, Turns(options))

    def models(self, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> list[Model]:
        """What the deployment serves; the first is the default. Errors: FacetApiError."""
        request = model_service_pb2.ListModelsRequest()
        response = self._call(self._models.ListModels, request, timeout_seconds)
        return [decode_model(model) for model in response.models]

    def model(self, name: str, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> Model:
        """One model. Errors: FacetApiError, NOT_FOUND where it is not configured."""
        request = model_service_pb2.GetModelRequest(name=name)
        return decode_model(self._call(self._models.GetModel, request, timeout_seconds).model)

    def cancel(self, generation_id: str, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> bool:
        """End a generation at once; False where it had ended before. Errors: FacetApiError."""
        request = inference_service_pb2.CancelGenerationRequest(generation_id=generation_id)
        answer = self._call(self._inference.CancelGeneration, request, timeout_seconds)
        return answer.cancelled

    def close(self) -> None:
        """Close the connection; streams under way end."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _stream(
        self,
        prompt: Prompt,
        options: GenerateOptions,
        on_result: Callable[[Generation], None] | None,
    ) -> Stream:
        request = inference_service_pb2.StreamGenerateContentRequest(
            request=build_request(prompt, options)
        )
        call = self._inference.StreamGenerateContent(
            request, timeout=timeout_of(options), metadata=self._metadata
        )
        return Stream(call, on_result)

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout_seconds: float,
    ) -> _Response:
        try:
            return method(request, timeout=timeout_seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise errors.from_call(cast("Any", error)) from error


class Chat:
    """A conversation that keeps its turns. One turn at a time."""

    def __init__(self, client: Client, turns: Turns) -> None:
        self._client = client
        self._turns = turns

    @property
    def contents(self) -> list[Content]:
        """The turns so far, oldest first."""
        return self._turns.contents

    def send(self, *parts: str | Part, **options: Unpack[GenerateOptions]) -> Stream:
        """Say something and stream the answer; options override those of the conversation.

        The turn is kept when its stream was read to the end: a failed one leaves no trace.
        """
        prompt, merged = self._turns.ask(parts, options)
        turn = prompt[-1]
        return self._client._stream(prompt, merged, partial(self._turns.keep, turn))

    def reset(self) -> None:
        """Forget the turns."""
        self._turns.reset()
