"""`facet.v1.InferenceService`: readers of generations' logs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from facet.api.v1.event_pb2 import Event, Queued
from facet.api.v1.inference_service_pb2 import (
    AttachGenerationRequest,
    CancelGenerationRequest,
    CancelGenerationResponse,
    GenerateContentRequest,
    GenerateContentResponse,
    StreamGenerateContentRequest,
    StreamGenerateContentResponse,
)
from facet.core.errors import OffsetOutOfRangeError, StoreUnavailableError
from facet.core.telemetry.tracing import UNTRACED, Tracing
from facet.gateway.calls import Call, Streamed, Unary
from facet.gateway.catalogue import Catalogue, Route
from facet.gateway.delivery import Delivery
from facet.gateway.erasure import Eraser
from facet.gateway.folding import AnswerFold
from facet.gateway.follower import Follower, raise_failure
from facet.gateway.generations import Generations, find
from facet.gateway.intake import Accepted, Intake
from facet.gateway.measures import Reading, measured
from facet.gateway.open_calls import OpenCalls
from facet.queue.values import State
from facet.queue.views import Status

SERVICE = "facet.v1.InferenceService"


class InferenceService:
    """The methods that are served; the interceptor answers for all others."""

    def __init__(
        self,
        catalogue: Catalogue,
        intake: Intake,
        open_calls: OpenCalls,
        eraser: Eraser,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._tracing = tracing
        self._eraser = eraser
        self._catalogue = catalogue
        self._intake = intake
        self._open_calls = open_calls
        self._generations = Generations(catalogue, intake, open_calls, eraser)

    def methods(self) -> Mapping[str, Unary | Streamed]:
        """What is served under `facet.v1.InferenceService`."""
        return {
            "GenerateContent": Unary(GenerateContentRequest, self.generate),
            "StreamGenerateContent": Streamed(StreamGenerateContentRequest, self.stream),
            "AttachGeneration": Streamed(AttachGenerationRequest, self.attach),
            "CancelGeneration": Unary(CancelGenerationRequest, self.cancel),
            **self._generations.methods(),
        }

    async def generate(
        self, request: GenerateContentRequest, call: Call
    ) -> GenerateContentResponse:
        """Generate and answer at the end. Errors: any of the table of reasons."""
        fold = AnswerFold(
            include_thoughts=request.request.generation_config.thinking.include_thoughts
        )
        with measured(request.request, call.tenant) as reading, self._open_calls.enter():
            accepted = await self._intake.accept(request.request, call)
            _begin(reading, accepted, request.request.priority)
            await call.announce(accepted.generation_id)
            with (
                self._delivery(call) as delivery,
                accepted.route.reader.subscribe(
                    accepted.generation_id, origin=accepted.origin
                ) as subscription,
            ):
                follower = Follower(
                    accepted.route.queue,
                    subscription,
                    tenant=call.tenant,
                    ends_at=accepted.ends_at,
                )
                while True:
                    step = await follower.next()
                    if isinstance(step, Status):
                        continue
                    fold.add(StreamGenerateContentResponse.FromString(step.response).events)
                    delivery.passed()
                    reading.delivered(step, subscription.next_offset)
                    if step.is_terminal:
                        self._erase_after(accepted, call)
                        raise_failure(step.failure)
                        return fold.to_response(accepted.generation_id, accepted.route.card.name)

    async def stream(self, request: StreamGenerateContentRequest, call: Call) -> None:
        """Generate and write events as they are logged. Errors: any of the table of reasons."""
        with measured(request.request, call.tenant) as reading, self._open_calls.enter():
            accepted = await self._intake.accept(request.request, call)
            _begin(reading, accepted, request.request.priority)
            await call.announce(accepted.generation_id)
            await self._deliver(accepted, call, reading, from_offset=0)

    async def attach(self, request: AttachGenerationRequest, call: Call) -> None:
        """Write the events of a generation from an offset on.

        Errors: GenerationNotFoundError (also for another tenant's), OffsetOutOfRangeError, and
        whatever the generation ends with.
        """
        with self._open_calls.enter():
            route, status = await find(self._catalogue, request.generation_id, call.tenant)
            if request.from_offset > status.next_offset:
                raise OffsetOutOfRangeError(
                    f"the log ends at offset {status.next_offset}",
                    metadata={"next_offset": str(status.next_offset)},
                )
            await call.announce(request.generation_id)
            ends_at = time.monotonic() + status.remaining_ms / 1000
            attached = Accepted(
                request.generation_id, route, ends_at, is_fleeting=status.is_fleeting
            )
            if status.state is State.ENDED and request.from_offset == status.next_offset:
                self._erase_after(attached, call)
                raise_failure(status.failure)
                return
            reading = Reading()
            reading.begin(route.card.name, next_offset=request.from_offset)
            await self._deliver(attached, call, reading, from_offset=request.from_offset)

    async def cancel(
        self, request: CancelGenerationRequest, call: Call
    ) -> CancelGenerationResponse:
        """End a generation at once. Errors: GenerationNotFoundError, StoreUnavailableError."""
        route, _ = await find(self._catalogue, request.generation_id, call.tenant)
        return CancelGenerationResponse(
            cancelled=await route.queue.cancel(request.generation_id, call.tenant)
        )

    async def _deliver(
        self, accepted: Accepted, call: Call, reading: Reading, *, from_offset: int
    ) -> None:
        route = accepted.route
        with (
            self._delivery(call, from_offset) as delivery,
            route.reader.subscribe(
                accepted.generation_id, from_offset, origin=accepted.origin
            ) as subscription,
        ):
            follower = Follower(
                route.queue, subscription, tenant=call.tenant, ends_at=accepted.ends_at
            )
            while True:
                step = await follower.next()
                if isinstance(step, Status):
                    await call.write(await _waiting_frame(route, step))
                    continue
                if step.response:
                    await call.write(step.response)
                    delivery.passed()
                    reading.delivered(step, subscription.next_offset)
                if step.is_terminal:
                    self._erase_after(accepted, call)
                    raise_failure(step.failure)
                    return

    @contextmanager
    def _delivery(self, call: Call, from_offset: int = 0) -> Iterator[Delivery]:
        with self._tracing.phase(
            "deliver", call.trace, attributes={"facet.from_offset": from_offset}
        ) as span:
            yield Delivery(span)

    def _erase_after(self, accepted: Accepted, call: Call) -> None:
        """Have a generation deleted that is not to outlast the delivery of its end."""
        if accepted.is_fleeting:
            route, name, tenant = accepted.route, accepted.generation_id, call.tenant
            call.after_answer(lambda: self._eraser.erase_soon(route, name, tenant))


def _begin(reading: Reading, accepted: Accepted, priority: int) -> None:
    # What a repeated request id names began at another time.
    is_new = accepted.origin is not None
    reading.begin(accepted.route.card.name, priority=priority if is_new else None)


async def _waiting_frame(route: Route, status: Status) -> bytes:
    queued = Queued(position=status.requests_ahead)
    if status.wait_ms is not None:
        queued.estimated_wait.FromMilliseconds(status.wait_ms)
    try:
        queued.cold_start = await route.workers.count() == 0
    except StoreUnavailableError:
        # The frame is a sign of life first; without an answer nothing is said about workers.
        queued.cold_start = False
    return StreamGenerateContentResponse(events=[Event(queued=queued)]).SerializeToString()
