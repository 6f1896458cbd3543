"""A gateway that answers what a test scripted, over real gRPC on loopback."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from facet.api.v1 import (
    content_pb2,
    event_pb2,
    generation_pb2,
    inference_service_pb2,
    inference_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
)

GENERATION_ID = "g-0-00000000000000000000000000000001"


@dataclass(frozen=True)
class Break:
    """How one generating call ends early: after so many events, or None before it is accepted.

    Without a `reason` there is no ErrorInfo; without a `code` the call stays open until it is cut.
    """

    after: int | None
    code: grpc.StatusCode | None = grpc.StatusCode.UNAVAILABLE
    reason: str = ""


class FakeGateway(
    inference_service_pb2_grpc.InferenceServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """Streams `events`, one a message; remembers requests, metadata and what was cancelled.

    An attached reader gets those from its offset on. With `hold` the stream stays open after the
    events until the call ends. A `refusal` is the ErrorInfo reason with which every generating call
    is refused. `breaks` are used up by generating and attaching calls, one each. `stored` is what
    GetGeneration and ListGenerations tell.
    """

    def __init__(self) -> None:
        self.events: list[event_pb2.Event] = []
        self.hold = False
        self.refusal = ""
        self.requests: list[generation_pb2.GenerationRequest] = []
        self.metadata: dict[str, str | bytes] = {}
        self.remaining_seconds = 0.0
        self.breaks: deque[Break] = deque()
        self.stored: list[inference_service_pb2.Generation] = []
        self.waits: list[float] = []
        self.cancelled: list[str] = []
        self.deleted: list[str] = []
        self.attached: list[tuple[str, int]] = []
        self.call_ended = threading.Event()
        self.model = model_service_pb2.Model(
            name="nano",
            description="Test model.",
            context_tokens=4096,
            input_modalities=[generation_pb2.MODALITY_TEXT, generation_pb2.MODALITY_IMAGE],
        )
        self._server = grpc.server(ThreadPoolExecutor(max_workers=4))
        inference_service_pb2_grpc.add_InferenceServiceServicer_to_server(self, self._server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop(grace=None).wait(timeout=10)

    def say(self, *pieces: str) -> None:
        """Script a whole answer."""
        self.events = [
            event_pb2.Event(offset=0, started=event_pb2.Started(worker="w", prompt_token_count=3))
        ]
        start = 0
        for offset, piece in enumerate(pieces, 1):
            delta = event_pb2.TextDelta(text=piece, text_start=start)
            self.events.append(event_pb2.Event(offset=offset, text_delta=delta))
            start += len(piece)
        usage = generation_pb2.UsageMetadata(
            prompt_token_count=3,
            candidates_token_count=len(pieces),
            drafted_token_count=6,
            accepted_draft_token_count=4,
        )
        finished = event_pb2.Finished(finish_reason=generation_pb2.FINISH_REASON_STOP, usage=usage)
        self.events.append(event_pb2.Event(offset=len(pieces) + 1, finished=finished))

    def StreamGenerateContent(
        self,
        request: inference_service_pb2.StreamGenerateContentRequest,
        context: grpc.ServicerContext,
    ) -> Iterator[inference_service_pb2.StreamGenerateContentResponse]:
        # Before the caller can know of its call and end it: later, nothing would tell.
        context.add_callback(self.call_ended.set)
        cut = self._accept(request.request, context)
        yield from self._deliver(self.events, cut, context)
        if self.hold:
            self.call_ended.wait(timeout=30)

    def GenerateContent(
        self,
        request: inference_service_pb2.GenerateContentRequest,
        context: grpc.ServicerContext,
    ) -> inference_service_pb2.GenerateContentResponse:
        cut = self._accept(request.request, context)
        if cut is not None:
            _break_off(cut, context)
        content = content_pb2.Content(
            role=content_pb2.ROLE_MODEL, parts=[content_pb2.Part(text="whole")]
        )
        candidate = inference_service_pb2.Candidate(
            content=content, finish_reason=generation_pb2.FINISH_REASON_STOP
        )
        return inference_service_pb2.GenerateContentResponse(
            generation_id=GENERATION_ID, candidates=[candidate]
        )

    def AttachGeneration(
        self,
        request: inference_service_pb2.AttachGenerationRequest,
        context: grpc.ServicerContext,
    ) -> Iterator[inference_service_pb2.StreamGenerateContentResponse]:
        self.attached.append((request.generation_id, request.from_offset))
        cut = self._answer(context)
        yield from self._deliver(self.events[request.from_offset :], cut, context)

    def SubmitGeneration(
        self,
        request: inference_service_pb2.SubmitGenerationRequest,
        context: grpc.ServicerContext,
    ) -> inference_service_pb2.SubmitGenerationResponse:
        cut = self._accept(request.request, context)
        if cut is not None:
            _break_off(cut, context)
        generation = inference_service_pb2.Generation(
            generation_id=GENERATION_ID,
            state=inference_service_pb2.GENERATION_STATE_QUEUED,
            request_id=request.request.request_id,
        )
        return inference_service_pb2.SubmitGenerationResponse(generation=generation)

    def GetGeneration(
        self, request: inference_service_pb2.GetGenerationRequest, context: grpc.ServicerContext
    ) -> inference_service_pb2.GetGenerationResponse:
        self.waits.append(request.wait.ToMilliseconds() / 1000)
        if self.breaks:
            _break_off(self.breaks.popleft(), context)
        by_id = {generation.generation_id: generation for generation in self.stored}
        if request.generation_id not in by_id:
            _refuse(context, grpc.StatusCode.NOT_FOUND, "GENERATION_NOT_FOUND")
        return inference_service_pb2.GetGenerationResponse(generation=by_id[request.generation_id])

    def ListGenerations(
        self, request: inference_service_pb2.ListGenerationsRequest, context: grpc.ServicerContext
    ) -> inference_service_pb2.ListGenerationsResponse:
        # Two a page, whatever is asked for: a server may give less.
        start = int(request.page_token or 0)
        end = start + min(request.page_size, 2)
        return inference_service_pb2.ListGenerationsResponse(
            generations=self.stored[start:end],
            next_page_token=str(end) if end < len(self.stored) else "",
        )

    def DeleteGeneration(
        self, request: inference_service_pb2.DeleteGenerationRequest, context: grpc.ServicerContext
    ) -> inference_service_pb2.DeleteGenerationResponse:
        self.deleted.append(request.generation_id)
        return inference_service_pb2.DeleteGenerationResponse()

    def CancelGeneration(
        self,
        request: inference_service_pb2.CancelGenerationRequest,
        context: grpc.ServicerContext,
    ) -> inference_service_pb2.CancelGenerationResponse:
        self.cancelled.append(request.generation_id)
        return inference_service_pb2.CancelGenerationResponse(cancelled=True)

    def ListModels(
        self, request: model_service_pb2.ListModelsRequest, context: grpc.ServicerContext
    ) -> model_service_pb2.ListModelsResponse:
        return model_service_pb2.ListModelsResponse(models=[self.model])

    def GetModel(
        self, request: model_service_pb2.GetModelRequest, context: grpc.ServicerContext
    ) -> model_service_pb2.GetModelResponse:
        if request.name != self.model.name:
            _refuse(context, grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        return model_service_pb2.GetModelResponse(model=self.model)

    def _accept(
        self, request: generation_pb2.GenerationRequest, context: grpc.ServicerContext
    ) -> Break | None:
        self.requests.append(request)
        return self._answer(context)

    def _answer(self, context: grpc.ServicerContext) -> Break | None:
        self.metadata = dict(context.invocation_metadata())
        self.remaining_seconds = context.time_remaining()
        if self.refusal:
            _refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, self.refusal)
        cut = self.breaks.popleft() if self.breaks else None
        if cut is not None and cut.after is None:
            _break_off(cut, context)
        context.send_initial_metadata((("facet-generation-id", GENERATION_ID),))
        return cut

    def _deliver(
        self, events: Sequence[event_pb2.Event], cut: Break | None, context: grpc.ServicerContext
    ) -> Iterator[inference_service_pb2.StreamGenerateContentResponse]:
        if cut is not None and cut.after == 0:
            # With a message the metadata are sure to arrive; a bare status may overtake them.
            yield inference_service_pb2.StreamGenerateContentResponse()
        for event in events if cut is None else events[: cut.after]:
            yield inference_service_pb2.StreamGenerateContentResponse(events=[event])
        if cut is not None:
            _break_off(cut, context)


def _break_off(cut: Break, context: grpc.ServicerContext) -> NoReturn:
    if cut.code is None:
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(timeout=30)
        context.abort(grpc.StatusCode.CANCELLED, "cut")
    if cut.reason:
        _refuse(context, cut.code, cut.reason)
    context.abort(cut.code, "broken")


def _refuse(context: grpc.ServicerContext, code: grpc.StatusCode, reason: str) -> NoReturn:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="facet.dev"))
    status = status_pb2.Status(code=code.value[0], message="refused", details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, "refused")
