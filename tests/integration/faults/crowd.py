"""Clients of one gateway: what they ask, what they are given, and whether it is right."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc import error_details_pb2

from facet.api.v1 import content_pb2, generation_pb2
from facet.api.v1.inference_service_pb2 import GenerateContentRequest
from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from tests.chaos.client import Client, Outcome
from tests.chaos.content import events_faults, response_faults
from tests.chaos.gateways import Gateways
from tests.chaos.load import Kind, Plan
from tests.integration.gateway.requests import failure_of, unary
from tests.support.conditions import until
from tests.support.lateness import measured_lateness

if TYPE_CHECKING:
    from facet.api.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub

ANSWER_SECONDS = 60.0
"""Bound on any answer, outages and a busy machine included."""

LONG_TOKENS = 60
"""Takes some 3 s: a fault finds it under way."""

UNAVAILABLE_WITHIN_SECONDS = 2.0

_PHRASES = ("the river", "Straßen", "東京の天気は", "👩‍🚀 and 🚀", "расскажи про реку")


class Crowd:
    """Asks one gateway. Streams that break are attached to again, as an SDK does it."""

    def __init__(self, address: str) -> None:
        self._gateways = Gateways([address])
        self._channel = grpc.aio.insecure_channel(address)
        self._client = Client(self._gateways, serves_submit=True)
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []
        self.stub: InferenceServiceAsyncStub = InferenceServiceStub(self._channel)

    def ask(
        self, count: int, kind: Kind = Kind.STREAM, *, tokens: int = LONG_TOKENS
    ) -> list[Outcome]:
        """Begin so many requests; answers have at least so many tokens, short ones just so many."""
        outcomes = []
        for number in itertools.islice(self._numbers, count):
            plan = Plan(number, kind, question(number, tokens), ANSWER_SECONDS)
            outcomes.append(Outcome(plan))
            self._tasks.append(asyncio.create_task(self._client.run(outcomes[-1])))
        return outcomes

    async def all_ended(self) -> None:
        """Return when nobody waits for anything; what failed is in the outcomes."""
        await asyncio.gather(*self._tasks)
        self._tasks.clear()

    async def refusal(self) -> tuple[grpc.StatusCode, str]:
        """Code and reason that a new call is refused with, within 2 s."""
        code, info = await failed_soon(self.stub.GenerateContent(unary(), timeout=30))
        return code, info.reason

    async def close(self) -> None:
        """End all that is still asked."""
        for task in self._tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._gateways.close()
        await self._channel.close()


async def failed_soon(
    call: Awaitable[Any],
) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo]:
    """Code and ErrorInfo that a call ends with, within 2 s."""
    async with measured_lateness() as lateness:
        began = time.monotonic()
        code, info = await failure_of(call)
        took_seconds = time.monotonic() - began
    assert took_seconds < UNAVAILABLE_WITHIN_SECONDS + lateness.seconds
    return code, info


async def all_accepted(outcomes: Sequence[Outcome]) -> None:
    """Return when the gateway has named a generation to each; of streams alone it does so early."""

    async def are_named() -> bool:
        return all(outcome.main.generation_id for outcome in outcomes)

    await until(are_named, seconds=ANSWER_SECONDS)


async def under_way(outcomes: Sequence[Outcome], *, speaking: int = 3) -> None:
    """Return when all are accepted and so many, at least, are in the middle of their answer."""
    await all_accepted(outcomes)

    async def speak() -> bool:
        return sum(_is_speaking(outcome) for outcome in outcomes) >= speaking

    await until(speak, seconds=ANSWER_SECONDS)


def _is_speaking(outcome: Outcome) -> bool:
    return _tokens_of(outcome) > 0 and outcome.main.is_open


def _tokens_of(outcome: Outcome) -> int:
    events = outcome.main.events
    return events[-1].token_end if events else 0


def assert_right(outcomes: Sequence[Outcome]) -> None:
    """Each ended well, with every event once, in order, and with the one right content."""
    for outcome in outcomes:
        main, answers = outcome.main, outcome.plan.answers
        assert main.end == "OK", _told(outcome)
        assert (main.gaps, main.duplicate_offsets, main.extra_terminals) == (0, 0, 0)
        assert main.other_ids == []
        if outcome.plan.kind is Kind.UNARY:
            assert main.response is not None
            assert response_faults(main.response, answers) == []
        else:
            assert main.finished is not None
            assert events_faults(main.events, answers) == []


def assert_held(outcomes: Sequence[Outcome]) -> None:
    """As `assert_right`, and each in one call: its client saw nothing but a pause."""
    assert_right(outcomes)
    for outcome in outcomes:
        assert (outcome.main.calls, outcome.main.transient) == (1, []), _told(outcome)


def _told(outcome: Outcome) -> dict[str, Any]:
    main = outcome.main
    return {
        "request_id": outcome.plan.request.request_id,
        "generation_id": main.generation_id,
        "end": main.end,
        "calls": main.calls,
        "transient": main.transient,
        "next_offset": main.next_offset,
        "tokens": _tokens_of(outcome),
        "other_ids": main.other_ids,
    }


def with_image(data: bytes) -> GenerateContentRequest:
    """A question about a PNG."""
    request = unary("what is this?")
    image = content_pb2.Blob(mime_type="image/png", data=data)
    request.request.contents[0].parts.add(inline_data=image)
    return request


def question(number: int, tokens: int) -> generation_pb2.GenerationRequest:
    """Every second one thinks, every third calls a tool."""
    request = generation_pb2.GenerationRequest(request_id=f"fault-{number}")
    turn = request.contents.add(role=content_pb2.ROLE_USER)
    turn.parts.add(text=f"{_PHRASES[number % len(_PHRASES)]} no. {number}")
    config = request.generation_config
    config.min_output_tokens = tokens
    if tokens < LONG_TOKENS:
        config.max_output_tokens = tokens
    config.thinking.enabled = config.thinking.include_thoughts = number % 2 == 1
    if number % 3 == 2:
        request.tools.add().function_declarations.add(name="lookup", description="a tool")
    return request
