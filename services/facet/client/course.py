"""What a stream calls next: the half of both clients' streams that does no I/O."""

from __future__ import annotations

from facet.api.v1 import inference_service_pb2
from facet.client.errors import FacetApiError
from facet.client.generation import StreamState
from facet.client.persistence import Persistence, is_broken
from facet.client.tracing import ClientSpan


class Course:
    """One generation followed through any number of calls, each event delivered once.

    It begins with `request`, or by attaching to `generation_id` at `from_offset`. A call that broke
    is followed by one that attaches at the next offset; before the generation's id is known the
    request itself is repeated, which its `request_id` makes safe. Without `reattaches` the first
    break is the end.
    """

    def __init__(
        self,
        timeout_seconds: float,
        *,
        request: inference_service_pb2.StreamGenerateContentRequest | None = None,
        generation_id: str = "",
        from_offset: int = 0,
        reattaches: bool = True,
    ) -> None:
        self.state = StreamState(from_offset)
        self._request = request
        self._attached_id = generation_id
        self._from_offset = from_offset
        self._reattaches = reattaches
        self._persistence = Persistence(timeout_seconds)
        self._span = ClientSpan(request.request.model if request is not None else "")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Metadata of every call, by which all of them are one trace."""
        return self._span.metadata

    def ended(self, error: Exception | None = None) -> None:
        """Nothing is called any more; only the first call counts."""
        self._span.end(self.state.generation_id or self._attached_id, error)

    @property
    def remaining_seconds(self) -> float:
        """Until the deadline of the whole."""
        return self._persistence.remaining_seconds

    def next_request(
        self,
    ) -> (
        inference_service_pb2.StreamGenerateContentRequest
        | inference_service_pb2.AttachGenerationRequest
    ):
        """The request of the next call."""
        if self._request is not None and not self.state.generation_id:
            return self._request
        return inference_service_pb2.AttachGenerationRequest(
            generation_id=self.state.generation_id or self._attached_id,
            from_offset=self.state.next_offset,
        )

    def progressed(self) -> None:
        """A message arrived."""
        self._persistence.progressed()

    def delay_seconds_after(self, error: FacetApiError, *, patience_seconds: float) -> float | None:
        """How long to wait before the next call; None where the error is the end."""
        if not self._reattaches or not self._may_go_on(error):
            return None
        return self._persistence.next_delay_seconds(patience_seconds)

    def _may_go_on(self, error: FacetApiError) -> bool:
        state = self.state
        if self._request is not None and not state.generation_id:
            return self._is_repeatable and is_broken(error)
        if error.reason == "OFFSET_OUT_OF_RANGE":
            # The store fell back to before what was delivered; the worker logs it again.
            return state.next_offset > self._from_offset
        if error.reason == "GENERATION_NOT_FOUND" and self._is_repeatable:
            # The store lost it together with the gateway that would have queued it again.
            state.generation_id = ""
            return True
        return is_broken(error)

    @property
    def _is_repeatable(self) -> bool:
        """Whether the request may be sent again: harmless, and nothing of it is delivered."""
        request = self._request
        return (
            request is not None and bool(request.request.request_id) and not self.state.next_offset
        )
