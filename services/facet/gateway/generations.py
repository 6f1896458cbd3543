"""Generations that nobody has to follow: submit, get, list, delete."""

from __future__ import annotations

import asyncio
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
    InvalidRequestError,
)
from facet.gateway.calls import Call, Streamed, Unary
from facet.gateway.catalogue import Catalogue, Route
from facet.gateway.folding import AnswerFold
from facet.gateway.generation_id import is_generation_id
from facet.gateway.intake import Intake
from facet.gateway.open_calls import OpenCalls
from facet.queue.port import State, Status

DEFAULT_PAGE = 50
MAX_PAGE = 100
MAX_WAIT_SECONDS = 60.0
ENTRIES_PER_READ = 64

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
    raise GenerationNotFoundError(
        "there is no such generation", metadata={"generation_id": generation_id}
    )


class Generations:
    """The methods of `InferenceService` that read states instead of streams."""

    def __init__(self, catalogue: Catalogue, intake: Intake, open_calls: OpenCalls) -> None:
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
        with self._open_calls.enter():
            accepted = await self._intake.accept(request.request, call, follows=False)
            await call.announce(accepted.generation_id)
            status = await accepted.route.queue.status(accepted.generation_id, call.tenant)
            return SubmitGenerationResponse(generation=generation_of(status))

    async def get(self, request: GetGenerationRequest, call: Call) -> GetGenerationResponse:
        """Read a state, with the answer when it has ended; waits for that as long as asked.

        Errors: GenerationNotFoundError, StoreUnavailableError.
        """
        with self._open_calls.enter():
            route, status = await find(self._catalogue, request.generation_id, call.tenant)
            wait_seconds = min(request.wait.ToTimedelta().total_seconds(), MAX_WAIT_SECONDS)
            if status.state is not State.ENDED and wait_seconds > 0:
                await self._wait(route, request.generation_id, wait_seconds)
                status = await route.queue.status(request.generation_id, call.tenant)
            generation = generation_of(status)
            if status.state is State.ENDED and not status.failure:
                generation.response.CopyFrom(await _answer(route, request.generation_id))
            return GetGenerationResponse(generation=generation)

    async def list(self, request: ListGenerationsRequest, call: Call) -> ListGenerationsResponse:
        """A page of the tenant's generations of all models, newest first.

        Errors: InvalidRequestError, StoreUnavailableError.
        """
        size = min(request.page_size or DEFAULT_PAGE, MAX_PAGE)
        index, _, page = request.page_token.partition(".")
        if request.page_token and (not index.isdecimal() or not page.isdecimal()):
            raise InvalidRequestError.of("page_token", "is not one that an earlier answer gave")
        at = int(index or 0)
        if at >= len(self._catalogue.routes):
            raise InvalidRequestError.of("page_token", "is not one that an earlier answer gave")
        route = self._catalogue.routes[at]
        found = await route.queue.list_generations(
            call.tenant, page="" if page in ("", "0") else page, limit=size
        )
        following = f"{at}.{found.next_page}" if found.next_page else ""
        if not following and at + 1 < len(self._catalogue.routes):
            following = f"{at + 1}.0"
        return ListGenerationsResponse(
            generations=[generation_of(status) for status in found.generations],
            next_page_token=following,
        )

    async def delete(
        self, request: DeleteGenerationRequest, call: Call
    ) -> DeleteGenerationResponse:
        """Forget an ended generation.

        Errors: GenerationNotFoundError, GenerationRunsError, StoreUnavailableError.
        """
        route, _ = await find(self._catalogue, request.generation_id, call.tenant)
        if not await route.queue.delete(request.generation_id, call.tenant):
            raise GenerationRunsError(
                "the generation has not ended; cancel it first",
                metadata={"generation_id": request.generation_id},
            )
        return DeleteGenerationResponse()

    async def _wait(self, route: Route, generation_id: str, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        with route.reader.subscribe(generation_id) as subscription:
            while (left_seconds := ends_at - time.monotonic()) > 0:
                batch = await subscription.next(left_seconds)
                if batch is None or batch.is_terminal:
                    return


async def _answer(route: Route, generation_id: str) -> GenerateContentResponse:
    fold = AnswerFold(include_thoughts=True)
    offset = 0
    while True:
        news = await route.queue.read({generation_id: offset}, limit=ENTRIES_PER_READ)
        entries = news.get(generation_id, [])
        for entry in entries:
            fold.add(StreamGenerateContentResponse.FromString(entry.response).events)
            offset = entry.first_offset + entry.event_count
        if not entries or entries[-1].is_terminal:
            return fold.to_response(generation_id, route.card.name)
        # Long logs are folded in steps, so that other calls go on meanwhile.
        await asyncio.sleep(0)


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
