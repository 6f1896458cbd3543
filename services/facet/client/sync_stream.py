"""The blocking client's streams."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc

from facet.api.v1 import inference_service_pb2
from facet.client import connection, errors
from facet.client.course import Course
from facet.client.events import StreamEvent
from facet.client.generation import Generation
from facet.client.persistence import is_broken
from facet.client.sync_gateways import Gateway, Gateways


class Stream(Iterator[StreamEvent]):
    """The events of one generation, in order; closing it early leaves the generation.

    A stream that breaks is taken up again at its next offset, see docs/sdk.md. Errors while
    iterating: FacetApiError, StreamCorruptedError. Use it in a `with` block, or read it to its end.
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
        self._closed = threading.Event()
        # A reader and `accepted` may both find the call broken: one of them makes the next.
        self._going_on = threading.Lock()
        self._gateway, self._call = self._opened()

    @property
    def generation_id(self) -> str:
        """The generation's id; empty until the server accepted it and something was read."""
        return self._state.generation_id

    @property
    def next_offset(self) -> int:
        """The offset after the last event that arrived."""
        return self._state.next_offset

    def accepted(self) -> str:
        """Wait until the server has accepted the call; return the id, empty where it refused.

        Another thread may read meanwhile.
        """
        call = self._call
        while not self._learn_id(call):
            if call.is_active() or call.code() is grpc.StatusCode.OK:
                break
            if not self._goes_on_after(call, errors.from_call(call)):
                break
            call = self._call
        return self.generation_id

    def __next__(self) -> StreamEvent:
        while not self._pending:
            call = self._call
            try:
                response = next(call)
            except StopIteration:
                self._end()
                raise
            except grpc.RpcError as error:
                self._recover(call, error)
            else:
                self._learn_id(call)
                self._feed(response)
        return self._pending.popleft()

    def result(self) -> Generation:
        """Read what is left and return the generation. Errors as while iterating."""
        for _ in self:
            pass
        return self._end()

    def close(self) -> None:
        """Stop reading; the server acts by the request's `on_disconnect`."""
        self._closed.set()
        self._call.cancel()
        self._course.ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _opened(self) -> tuple[Gateway, Any]:
        course = self._course
        return self._gateways.stream(
            course.next_request(), course.remaining_seconds, course.metadata
        )

    def _learn_id(self, call: Any) -> bool:
        if not self._state.generation_id:
            self._state.generation_id = connection.generation_id(call.initial_metadata())
        if self._state.generation_id:
            self._gateways.reached()
        return bool(self._state.generation_id)

    def _recover(self, call: Any, failed: grpc.RpcError) -> None:
        """Go on after a call ended with an error; raises where the stream ends with it."""
        self._learn_id(call)
        error = errors.from_call(call, self.generation_id)
        if self._state.is_complete and is_broken(error):
            # Only the status was lost.
            self._end()
            raise StopIteration from failed
        if not self._goes_on_after(call, error):
            self._course.ended(error)
            raise error from failed

    def _goes_on_after(self, call: Any, error: errors.FacetApiError) -> bool:
        """Whether another call has taken the place of one that ended with an error."""
        with self._going_on:
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
            if self._closed.wait(delay) or self._gateways.is_closed:
                return False
            self._gateway, self._call = self._opened()
            if self._closed.is_set():
                self._call.cancel()
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
