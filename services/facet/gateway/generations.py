"""Generations that nobody has to follow: submit, get, list, delete."""

from __future__ import annotations

import time
from collections.abc import Mapping

from facet.api.v1 import error_pb2
from facet.api.v1.generation_pb2 import ON_DISCONNECT_CONTINUE
from facet.api.v1.inference_service_pb2 import (
    DeleteGenerationRequest,
    DeleteGenerationResponse,
    GenerateContentResponse,
    Generation,
    GenerationState,
    GetGenerationRequest,
    GetGenerationResponse,
    ListGenerationsRequest,
    ListGenerationsResponse,
    StreamGenerateContentResponse,
    SubmitGenerationRequest,
    SubmitGenerationResponse,
)
from facet.core.errors import (
    GenerationNotFoundError,
    GenerationRunsError,
    StoreUnavailableError,
)
from facet.gateway.calls import Call, Streamed, Unary
from facet.gateway.catalogue import Catalogue, Route
from facet.gateway.erasure import Eraser
from facet.gateway.folding import AnswerFold
from facet.gateway.intake import Intake
from facet.gateway.listing import newest, page_size
from facet.gateway.log_pages import log_entries
from facet.gateway.measures import measured
from facet.gateway.open_calls import OpenCalls
from facet.queue.generation_id import is_generation_id
from facet.queue.values import State
from facet.queue.views import Status

MAX_WAIT_SECONDS = 60.0
# Before a call's deadline, so that the state gets there in time.
ANSWER_SECONDS = 0.5

_STATES = {
    State.WAITING: GenerationState.GENERATION_STATE_QUEUED,
    State.LEASED: GenerationState.GENERATION_STATE_RUNNING,
    State.ENDED: GenerationState.GENERATION_STATE_SUCCEEDED,
}


async def find(catalogue: Catalogue, generation_id: str, tenant: str) -> tuple[Route, Status]:
    """Where a generation is and how it stands.

    Errors: GenerationNotFoundError, also for another tenant's; StoreUnavailableError.
    """
    if is_generation_id(generation_id):
        for route in catalogue.routes:
            try:
                return route, await route.queue.status(generation_id, tenant)
            except GenerationNotFoundError:
                continue
    raise _not_found(generation_id)


def _not_found(generation_id: str) -> GenerationNotFoundError:
    return GenerationNotFoundError(
        "there is no such generation", metadata={"generation_id": generation_id}
    )


class Generations:
    """The methods of `InferenceService` that read states instead of streams."""

    def __init__(
        self, catalogue: Catalogue, intake: Intake, open_calls: OpenCalls, eraser: Eraser
    ) -> None:
        self._eraser = eraser
        self._catalogue = catalogue
        self._intake = intake
        self._open_calls = open_calls

    def methods(self) -> Mapping[str, Unary | Streamed]:
        """What is served."""
        return {
            "SubmitGeneration": Unary(SubmitGenerationRequest, self.submit),
            "GetGeneration": Unary(GetGenerationRequest, self.get),
            "ListGenerations": Unary(ListGenerationsRequest, self.list),
            "DeleteGeneration": Unary(DeleteGenerationRequest, self.delete),
        }

    async def submit(
        self, request: SubmitGenerationRequest, call: Call
    ) -> SubmitGenerationResponse:
        """Accept a generation, which runs to its end unless the request says otherwise.

        Errors: those of `Intake.accept`.
        """
        if not request.request.on_disconnect:
            request.request.on_disconnect = ON_DISCONNECT_CONTINUE
        with measured(request.request, call.tenant), self._open_calls.enter():
            accepted = await self._intake.accept(request.request, call, follows=False)
            await call.announce(accepted.generation_id)
            try:
                status = await accepted.route.queue.status(accepted.generation_id, call.tenant)
            except StoreUnavailableError:
                # It is accepted all the same.
                generation = Generation(
                    generation_id=accepted.generation_id, state=_STATES[State.WAITING]
                )
            else:
                generation = generation_of(status)
            generation.request_id = request.request.request_id
            return SubmitGenerationResponse(generation=generation)

    async def get(self, request: GetGenerationRequest, call: Call) -> GetGenerationResponse:
        """Read a state, with the answer when it has ended; waits for that as long as asked.

        Errors: GenerationNotFoundError, StoreUnavailableError.
        """
        with self._open_calls.enter():
            route, status = await find(self._catalogue, request.generation_id, call.tenant)
            if status.state is not State.ENDED and request.HasField("wait"):
                await _wait_for_end(route, status, _wait_seconds(request, call))
                status = await route.queue.status(request.generation_id, call.tenant)
            generation = generation_of(status)
            if status.state is State.ENDED and not status.failure:
                generation.response.CopyFrom(await _answer(route, status))
            if status.state is State.ENDED and status.is_fleeting:
                name, tenant = request.generation_id, call.tenant
                call.after_answer(lambda: self._eraser.erase_soon(route, name, tenant))
            return GetGenerationResponse(generation=generation)

    async def list(self, request: ListGenerationsRequest, call: Call) -> ListGenerationsResponse:
        """A page of the tenant's generations of all models, newest first.

        Errors: InvalidRequestError, StoreUnavailableError.
        """
        size = page_size(request.page_size)
        queues = [route.queue for route in self._catalogue.routes]
        page = await newest(queues, call.tenant, token=request.page_token, size=size)
        return ListGenerationsResponse(
            generations=map(generation_of, page.generations), next_page_token=page.next_page
        )

    async def delete(
        self, request: DeleteGenerationRequest, call: Call
    ) -> DeleteGenerationResponse:
        """Forget an ended generation, with its media and, if it is one, as a dead letter.

        Errors: GenerationNotFoundError, GenerationRunsError, StoreUnavailableError.
        """
        route, _ = await find(self._catalogue, request.generation_id, call.tenant)
        if not await self._eraser.erase(route.queue, request.generation_id, call.tenant):
            raise GenerationRunsError(
                "the generation has not ended; cancel it first",
                metadata={"generation_id": request.generation_id},
            )
        return DeleteGenerationResponse()


def _wait_seconds(request: GetGenerationRequest, call: Call) -> float:
    asked_seconds = request.wait.seconds + request.wait.nanos / 1e9
    left_seconds = call.remaining_seconds()
    if left_seconds is not None:
        asked_seconds = min(asked_seconds, left_seconds - ANSWER_SECONDS)
    return min(asked_seconds, MAX_WAIT_SECONDS)


async def _wait_for_end(route: Route, status: Status, seconds: float) -> None:
    """Return when the generation has ended, or after the time. It counts as read meanwhile."""
    ends_at = time.monotonic() + seconds
    with route.reader.subscribe(status.generation_id, status.next_offset) as subscription:
        while (left_seconds := ends_at - time.monotonic()) > 0:
            batch = await subscription.next(left_seconds)
            if batch is None or batch.is_terminal:
                return


async def _answer(route: Route, status: Status) -> GenerateContentResponse:
    fold = AnswerFold(include_thoughts=True)
    is_whole = False
    async for entry in log_entries(route.queue, status.generation_id, status.next_offset):
        fold.add(StreamGenerateContentResponse.FromString(entry.response).events)
        is_whole = entry.is_terminal
    if not is_whole:
        # It was deleted, or redriven, since its state was read.
        raise _not_found(status.generation_id)
    return fold.to_response(status.generation_id, route.card.name)


def generation_of(status: Status) -> Generation:
    """A generation as the API shows it, without its answer."""
    generation = Generation(
        generation_id=status.generation_id,
        state=_STATES[status.state],
        next_offset=status.next_offset,
    )
    generation.create_time.FromMilliseconds(status.created_ms)
    if status.state is not State.ENDED:
        return generation
    generation.end_time.FromMilliseconds(status.ended_ms)
    generation.expire_time.FromMilliseconds(status.expires_ms)
    if status.failure:
        failure = error_pb2.Failure.FromString(status.failure)
        generation.failure.CopyFrom(failure)
        is_cancelled = failure.reason == error_pb2.ERROR_REASON_CANCELLED
        generation.state = (
            GenerationState.GENERATION_STATE_CANCELLED
            if is_cancelled
            else GenerationState.GENERATION_STATE_FAILED
        )
    return generation
