"""Requests as they arrive: whole, in time, and readable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from facet.core.errors import DeadlineExceededError, InvalidRequestError

# Within it the largest message comes through 3 Mbit/s; a client that trickles is let go.
RECEIVE_SECONDS = 60.0
# What a stream of requests may last, for services that only answer questions about the API.
CONVERSATION_SECONDS = 60.0

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Request = TypeVar("Request", bound=Message)


async def receive(
    request_type: type[Request], context: Context, *, seconds: float | None = None
) -> Request:
    """The one request of a call.

    Errors: DeadlineExceededError when it is not there within `RECEIVE_SECONDS` or `seconds`;
    InvalidRequestError when none comes or its bytes are no such message.
    """
    limit = RECEIVE_SECONDS if seconds is None else seconds
    try:
        async with asyncio.timeout(limit):
            data: Any = await context.read()
    except TimeoutError as error:
        raise DeadlineExceededError(
            f"the request did not arrive within {limit:g} s; it never ran, send it again"
        ) from error
    if data is grpc.aio.EOF:
        raise InvalidRequestError("the call ended without a request")
    try:
        return request_type.FromString(data)
    except DecodeError as error:
        raise InvalidRequestError(
            f"the bytes sent are no {request_type.DESCRIPTOR.full_name}; compare the protos of "
            "client and server"
        ) from error


def in_bounded_time(
    converse: Callable[[Any, Context], AsyncIterator[Any]],
) -> Callable[[Any, Context], Awaitable[None]]:
    """A handler that answers a stream of requests, and lasts `CONVERSATION_SECONDS` at most."""

    async def behaviour(requests: Any, context: Context) -> None:
        try:
            async with asyncio.timeout(CONVERSATION_SECONDS):
                async for answer in converse(requests, context):
                    await context.write(answer)
        except TimeoutError as error:
            raise DeadlineExceededError(
                f"such a call lasts {CONVERSATION_SECONDS:g} s at most; make a new one"
            ) from error

    return behaviour
