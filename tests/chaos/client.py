"""The clients of a run: each follows its plan and goes on elsewhere when a gateway fails it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from facet.api.v1 import error_pb2, inference_service_pb2
from tests.chaos.delivery import Delivery
from tests.chaos.gateways import Ended, Gateways, read_error
from tests.chaos.load import Kind, Plan

_PAUSE_SECONDS = 0.2
_BEHIND_PAUSE_SECONDS = 0.5
_SLOW_READ_SECONDS = 0.25
_REREAD_SECONDS = 30.0
_REREADERS = 24
_GENERATION_ID = "facet-generation-id"

DROPPED = "DROPPED"
"""End of a delivery whose client went away without a word."""
WITHOUT_END = "OK_WITHOUT_END"
"""End of a delivery whose stream ended well, yet without a terminal event."""


@dataclass
class Outcome:
    """What came of a plan. `conflict` is how the call of the same id with another body failed."""

    plan: Plan
    main: Delivery = field(default_factory=Delivery)
    twin: Delivery | None = None
    conflict: str = ""
    was_cancelled: bool = False
    reread: Delivery | None = None

    def deliveries(self) -> list[Delivery]:
        """All that its readers were given while it ran."""
        return [self.main] if self.twin is None else [self.main, self.twin]


class Client:
    """Runs plans. `serves_submit` says whether SubmitGeneration may be used."""

    def __init__(self, gateways: Gateways, *, serves_submit: bool) -> None:
        self._gateways = gateways
        self._serves_submit = serves_submit

    async def run(self, outcome: Outcome) -> None:
        """Follow a plan to its end; breaches are kept in the outcome, nothing is raised."""
        plan = outcome.plan
        if plan.kind is Kind.DUPLICATE:
            outcome.twin = Delivery()
            await asyncio.gather(self._read(outcome, outcome.main), self._repeat(outcome))
        elif plan.kind is Kind.CONFLICT:
            await asyncio.gather(self._read(outcome, outcome.main), self._contradict(outcome))
        else:
            await self._read(outcome, outcome.main)

    async def reread_all(self, outcomes: Sequence[Outcome]) -> None:
        """Attach to every accepted generation from its beginning; keep that in its outcome."""
        seats = asyncio.Semaphore(_REREADERS)

        async def read(outcome: Outcome) -> None:
            async with seats:
                outcome.reread = await self.reread(outcome.main.generation_id, _REREAD_SECONDS)

        accepted = [outcome for outcome in outcomes if outcome.main.generation_id]
        await asyncio.gather(*(read(outcome) for outcome in accepted))

    async def reread(self, generation_id: str, timeout_seconds: float) -> Delivery:
        """The whole log of a generation, as an attaching reader gets it."""
        delivery = Delivery(generation_id=generation_id)
        ends_at = time.monotonic() + timeout_seconds
        while delivery.is_open:
            try:
                await self._attach(None, delivery, ends_at)
            except grpc.aio.AioRpcError as error:
                await self._judge(None, delivery, error, ends_at)
        return delivery

    async def _repeat(self, outcome: Outcome) -> None:
        assert outcome.twin is not None
        await asyncio.sleep(random.Random(outcome.plan.number).random())
        await self._read(outcome, outcome.twin)

    async def _contradict(self, outcome: Outcome) -> None:
        """Use the id of an accepted request for another body."""
        main = outcome.main
        while main.is_open and not main.events:  # noqa: ASYNC110 - bounded by its own deadline
            await asyncio.sleep(_PAUSE_SECONDS)
        message = inference_service_pb2.GenerateContentRequest(request=outcome.plan.request)
        message.request.contents[-1].parts.add(text=" and something else")
        while outcome.conflict in ("", "STORE_UNAVAILABLE", "UNAVAILABLE"):
            try:
                await self._gateways.next().GenerateContent(message, timeout=20)
                outcome.conflict = "OK"
            except grpc.aio.AioRpcError as error:
                outcome.conflict = read_error(error).reason
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _read(self, outcome: Outcome, delivery: Delivery) -> None:
        ends_at = time.monotonic() + outcome.plan.timeout_seconds
        while delivery.is_open:
            try:
                await self._call(outcome, delivery, ends_at)
            except grpc.aio.AioRpcError as error:
                await self._judge(outcome.plan, delivery, error, ends_at)

    async def _call(self, outcome: Outcome, delivery: Delivery, ends_at: float) -> None:
        plan = outcome.plan
        if plan.kind is Kind.UNARY:
            await self._generate(plan, delivery, ends_at)
        elif delivery.generation_id:
            await self._attach(outcome, delivery, ends_at)
        elif plan.kind is Kind.SUBMIT and self._serves_submit:
            submit = inference_service_pb2.SubmitGenerationRequest(request=plan.request)
            delivery.calls += 1
            answer = await self._gateways.next().SubmitGeneration(submit, timeout=_left(ends_at))
            delivery.name(answer.generation.generation_id)
            await asyncio.sleep(random.Random(plan.number).random())
        else:
            stream = inference_service_pb2.StreamGenerateContentRequest(request=plan.request)
            stub = self._gateways.next()
            call = stub.StreamGenerateContent(stream, timeout=_left(ends_at))
            await self._drain(call, outcome, delivery)

    async def _generate(self, plan: Plan, delivery: Delivery, ends_at: float) -> None:
        message = inference_service_pb2.GenerateContentRequest(request=plan.request)
        call = self._gateways.next().GenerateContent(message, timeout=_left(ends_at))
        delivery.calls += 1
        _name(delivery, await call.initial_metadata())
        delivery.response = await call
        delivery.close("OK")

    async def _attach(self, outcome: Outcome | None, delivery: Delivery, ends_at: float) -> None:
        attach = inference_service_pb2.AttachGenerationRequest(
            generation_id=delivery.generation_id, from_offset=delivery.next_offset
        )
        call = self._gateways.next().AttachGeneration(attach, timeout=_left(ends_at))
        await self._drain(call, outcome, delivery)

    async def _drain(
        self,
        call: grpc.aio.UnaryStreamCall[Any, inference_service_pb2.StreamGenerateContentResponse],
        outcome: Outcome | None,
        delivery: Delivery,
    ) -> None:
        delivery.calls += 1
        try:
            _name(delivery, await call.initial_metadata())
            async for message in call:
                delivery.take(message.events)
                if outcome is not None and await self._act(outcome, delivery):
                    return
        finally:
            call.cancel()
        delivery.close("OK" if delivery.finished else WITHOUT_END)

    async def _act(self, outcome: Outcome, delivery: Delivery) -> bool:
        """What the plan's client does after a message; whether it has gone away."""
        plan = outcome.plan
        if plan.kind is Kind.SLOW:
            await asyncio.sleep(_SLOW_READ_SECONDS)
        if len(delivery.events) < plan.cut_after or delivery.finished:
            return False
        if plan.kind is Kind.DROP:
            delivery.close(DROPPED)
            return True
        if plan.kind is Kind.CANCEL and not outcome.was_cancelled:
            outcome.was_cancelled = await self._cancel(delivery)
        return False

    async def _cancel(self, delivery: Delivery) -> bool:
        message = inference_service_pb2.CancelGenerationRequest(
            generation_id=delivery.generation_id
        )
        try:
            return (await self._gateways.next().CancelGeneration(message, timeout=5)).cancelled
        except grpc.aio.AioRpcError as error:
            # It asks again after the next message.
            delivery.transient.append(f"cancel: {read_error(error).reason}")
            return False

    async def _judge(
        self, plan: Plan | None, delivery: Delivery, error: grpc.aio.AioRpcError, ends_at: float
    ) -> None:
        """Close the delivery, or pause before the next call."""
        ended = read_error(error)
        if delivery.finished is not None:
            _close_at_terminal(delivery, ended)
        elif time.monotonic() >= ends_at:
            delivery.close("DEADLINE_EXCEEDED")
        elif ended.reason == "OFFSET_OUT_OF_RANGE":
            delivery.behind += 1
            await asyncio.sleep(_BEHIND_PAUSE_SECONDS)
        elif ended.reason == "GENERATION_NOT_FOUND" and plan and not delivery.events:
            # Accepted by a store that lost it since: the same request_id makes a repeat safe.
            delivery.other_ids.append(delivery.generation_id)
            delivery.generation_id = ""
        elif ended.is_transient:
            delivery.transient.append(ended.reason)
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            delivery.close(ended.reason)


def _close_at_terminal(delivery: Delivery, ended: Ended) -> None:
    """The end is in the log; a status that says another one is kept beside it.

    A gateway that was killed behind the end says nothing.
    """
    assert delivery.finished is not None
    recorded = "OK"
    if delivery.finished.HasField("failure"):
        name = error_pb2.ErrorReason.Name(delivery.finished.failure.reason)
        recorded = name.removeprefix("ERROR_REASON_")
    if ended.reason != recorded and not ended.is_cut:
        delivery.transient.append(f"after the end: {ended.reason}")
    delivery.close(recorded)


def _name(delivery: Delivery, metadata: grpc.aio.Metadata) -> None:
    for key, value in metadata:
        if key == _GENERATION_ID:
            delivery.name(str(value))


def _left(ends_at: float) -> float:
    return max(0.05, ends_at - time.monotonic())
