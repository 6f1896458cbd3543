"""Requests and answers as the tests of the gateway use them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from facet.api.v1.content_pb2 import ROLE_USER, Content, Part
from facet.api.v1.event_pb2 import Event
from facet.api.v1.generation_pb2 import GenerationRequest
from facet.api.v1.inference_service_pb2 import (
    GenerateContentRequest,
    StreamGenerateContentRequest,
    StreamGenerateContentResponse,
)

WAIT_SECONDS = 10.0


def generation(text: str = "hello", **fields: Any) -> GenerationRequest:
    content = Content(role=ROLE_USER, parts=[Part(text=text)])
    return GenerationRequest(contents=[content], **fields)


def streamed(text: str = "hello", **fields: Any) -> StreamGenerateContentRequest:
    return StreamGenerateContentRequest(request=generation(text, **fields))


def unary(text: str = "hello", **fields: Any) -> GenerateContentRequest:
    return GenerateContentRequest(request=generation(text, **fields))


async def generation_id_of(call: Any) -> str:
    """The id that the call's initial metadata name."""
    metadata = await asyncio.wait_for(call.initial_metadata(), WAIT_SECONDS)
    return str(dict(metadata)["facet-generation-id"])


async def next_of(call: Any) -> Any:
    """The next message."""
    return await asyncio.wait_for(call.read(), WAIT_SECONDS)


async def rest_of(call: Any) -> list[Event]:
    """The events that remain, `queued` frames left out."""
    events: list[Event] = []
    async with asyncio.timeout(WAIT_SECONDS):
        while (message := await call.read()) is not grpc.aio.EOF:
            events += logged(message)
    return events


def logged(message: StreamGenerateContentResponse) -> list[Event]:
    return [event for event in message.events if event.WhichOneof("kind") != "queued"]


async def failure_of(call: Awaitable[Any]) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo]:
    """The status that a call ends with, and its ErrorInfo."""
    error = await error_of(call)
    return error.code(), info_of(error)


async def error_of(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    try:
        await asyncio.wait_for(call, WAIT_SECONDS)
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call succeeded")


def info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert details_of(error)[0].Unpack(info)
    return info


def details_of(error: grpc.aio.AioRpcError) -> Any:
    blob = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    assert isinstance(blob, bytes), "no status details"
    return status_pb2.Status.FromString(blob).details
