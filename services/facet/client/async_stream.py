"""The asyncio client's streams."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import grpc
from grpc import aio

from facet.api.v1 import inference_service_pb2
from facet.client import connection, errors
from facet.client.async_gateways import Gateways, StreamCall
from facet.client.course import Course
from facet.client.events import StreamEvent
from facet.client.generation import Generation
from facet.client.persistence import is_broken


class AsyncStream(AsyncIterator[StreamEvent]):
    """The events of one generation, in order; closing it early leaves the generation.

    A stream that breaks is taken up again at its next offset, see docs/sdk.md. Errors while
    iterating: FacetApiError, StreamCorruptedError. Use it in an `async with` block, or read it to
    its end. Cancelling the task that reads it closes it.
    """

    def __init__(
        self,
        gateways: Gateways,
        course: Course,
        on_result: Callable[[Generation], None] | None = None,
    ) -> None:
        self._gateways = gateways
        self._course = course
        self._state = course.state
        self._pending: deque[StreamEvent] = deque()
        self._on_result = on_result
        self._result: Generation | None = None
        self._failed: errors.FacetApiError | None = None
        self._closed = asyncio.Event()
        # A reader and `accepted` may both find the call broken: one of them makes the next.
        self._going_on = asyncio.Lock()
        self._open()

    @property
    def generation_id(self) -> str:
        """The generation's id; empty until the server accepted it and something was read."""
        return self._state.generation_id

    @property
    def next_offset(self) -> int:
        """The offset after the last event that arrived."""
        return self._state.next_offset

    async def accepted(self) -> str:
        """Wait until the server has accepted the call; return the id, empty where it refused.

        Another task may read meanwhile.
        """
        call = self._call
        while not self._learn_id(await call.initial_metadata()):
            error = await _error_of(call)
            if error is None or not await self._goes_on_after(call, error):
                break
            call = self._call
        return self.generation_id

    async def __anext__(self) -> StreamEvent:
        try:
            while not self._pending:
                await self._read()
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
        return self._pending.popleft()

    async def result(self) -> Generation:
        """Read what is left and return the generation. Errors as while iterating."""
        async for _ in self:
            pass
        return self._end()

    def close(self) -> None:
        """Stop reading; the server acts by the request's `on_disconnect`."""
        self._closed.set()
        self._call.cancel()
        self._course.ended()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        self._gateway, self._call = self._gateways.stream(
            self._course.next_request(), self._course.remaining_seconds, self._course.metadata
        )
        self._responses = aiter(self._call)

    async def _read(self) -> None:
        """Read one message, or go on after a break; StopAsyncIteration at the end."""
        if self._failed is not None:
            # gRPC tells it once, and after that an end.
            raise self._failed
        call = self._call
        try:
            response = await anext(self._responses)
        except StopAsyncIteration:
            self._end()
            raise
        except aio.AioRpcError as error:
            await self._recover(call, error)
        else:
            self._learn_id(await call.initial_metadata())
            self._feed(response)

    def _learn_id(self, metadata: aio.Metadata | None) -> bool:
        if not self._state.generation_id:
            self._state.generation_id = connection.generation_id(metadata)
        if self._state.generation_id:
            self._gateways.reached()
        return bool(self._state.generation_id)

    async def _recover(self, call: StreamCall, failed: aio.AioRpcError) -> None:
        """Go on after a call ended with an error; raises where the stream ends with it."""
        self._learn_id(failed.initial_metadata())
        error = errors.from_call(failed, self.generation_id)
        if self._state.is_complete and is_broken(error):
            # Only the status was lost.
            self._end()
            raise StopAsyncIteration from failed
        if not await self._goes_on_after(call, error):
            self._course.ended(error)
            self._failed = error
            raise error from failed

    async def _goes_on_after(self, call: StreamCall, error: errors.FacetApiError) -> bool:
        """Whether another call has taken the place of one that ended with an error."""
        async with self._going_on:
            if self._call is not call:
                return True
            if error.has_info:
                self._gateways.reached()
            delay = self._course.delay_seconds_after(
                error, patience_seconds=self._gateways.patience_seconds
            )
            if delay is None:
                return False
            self._gateways.leave(self._gateway)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), delay)
            if self._closed.is_set() or self._gateways.is_closed:
                return False
            self._open()
            return True

    def _feed(self, response: inference_service_pb2.StreamGenerateContentResponse) -> None:
        self._course.progressed()
        try:
            self._pending.extend(self._state.feed(response))
        except errors.StreamCorruptedError as error:
            self._course.ended(error)
            self.close()
            raise

    def _end(self) -> Generation:
        if self._result is None:
            try:
                self._result = self._state.result()
            except (errors.FacetApiError, errors.StreamCorruptedError) as error:
                self._course.ended(error)
                raise
            self._course.ended()
            if self._on_result is not None:
                self._on_result(self._result)
        return self._result


async def _error_of(call: StreamCall) -> errors.FacetApiError | None:
    """What the call ended with; None while it lives, or where it ended well."""
    if not call.done():
        return None
    code = await call.code()
    if code is grpc.StatusCode.OK:
        return None
    return errors.from_call(
        aio.AioRpcError(
            code,
            await call.initial_metadata(),
            await call.trailing_metadata(),
            details=await call.details(),
        )
    )


def _is_this_task_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
