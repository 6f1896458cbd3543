"""Generations without a reader: submitted, fetched, listed and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import grpc
import pytest

import facet
from facet.api.v1 import error_pb2
from facet.api.v1 import inference_service_pb2 as pb
from facet.client import GenerationState
from tests.integration.client.fake_gateway import GENERATION_ID, Break, FakeGateway
from tests.integration.client.surface import Surface, connected

pytestmark = pytest.mark.integration


@pytest.fixture(params=["sync", "async"])
async def surface(request: pytest.FixtureRequest, gateway: FakeGateway) -> AsyncIterator[Surface]:
    async with connected(request.param, gateway.address) as client:
        yield client


def stored(number: int = 1, *, state: int = pb.GENERATION_STATE_RUNNING) -> pb.Generation:
    generation = pb.Generation(
        generation_id=GENERATION_ID if number == 1 else f"g-{number}",
        state=pb.GenerationState.ValueType(state),
        next_offset=number,
        request_id="mine",
    )
    generation.create_time.FromSeconds(1_700_000_000)
    return generation


def ended(state: int) -> pb.Generation:
    generation = stored(state=state)
    generation.end_time.FromSeconds(1_700_000_001)
    generation.expire_time.FromSeconds(1_700_000_600)
    return generation


async def test_it_is_queued_when_submitted(surface: Surface, gateway: FakeGateway) -> None:
    submitted = await surface.call("submit", "hello", model="nano", priority="batch")

    assert (submitted.id, submitted.state) == (GENERATION_ID, GenerationState.QUEUED)
    assert not submitted.has_ended
    [request] = gateway.requests
    assert submitted.request_id == request.request_id != ""
    assert (request.model, request.contents[0].parts[0].text) == ("nano", "hello")


async def test_it_is_submitted_under_one_id_when_the_call_broke(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.breaks.extend([Break(0), Break(None)])

    assert (await surface.call("submit", "hello")).id == GENERATION_ID

    assert len({request.request_id for request in gateway.requests}) == 1
    assert len(gateway.requests) == 3


async def test_the_result_is_there_when_it_has_succeeded(
    surface: Surface, gateway: FakeGateway
) -> None:
    generation = ended(pb.GENERATION_STATE_SUCCEEDED)
    candidate = generation.response.candidates.add()
    candidate.content.parts.add(text="answer")
    gateway.stored = [generation]

    seen = await surface.call("get", GENERATION_ID, wait=5)

    assert (seen.state, seen.has_ended, seen.error) == (GenerationState.SUCCEEDED, True, None)
    assert seen.result.text == "answer"
    assert seen.created_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert seen.ended_at == datetime.fromtimestamp(1_700_000_001, UTC)
    assert seen.expires_at == datetime.fromtimestamp(1_700_000_600, UTC)
    assert gateway.waits == [5]


async def test_the_error_is_there_when_it_has_failed(
    surface: Surface, gateway: FakeGateway
) -> None:
    generation = ended(pb.GENERATION_STATE_FAILED)
    generation.failure.code = grpc.StatusCode.INTERNAL.value[0]
    generation.failure.reason = error_pb2.ERROR_REASON_ENGINE_FAILED
    gateway.stored = [generation]

    seen = await surface.call("get", GENERATION_ID)

    assert (seen.state, seen.result) == (GenerationState.FAILED, None)
    assert seen.error.reason == "ENGINE_FAILED"
    assert seen.error.generation_id == GENERATION_ID


async def test_it_is_asked_for_in_pieces_when_the_wait_is_long(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.stored = [stored()]

    seen = await surface.call("get", GENERATION_ID, wait=0.3, timeout_seconds=0.5)

    assert (seen.state, seen.next_offset) == (GenerationState.RUNNING, 1)
    # This gateway does not wait, so that it is asked again and again.
    assert gateway.waits[0] == 0.25
    assert len(gateway.waits) > 1
    assert max(gateway.waits) == 0.25


async def test_it_is_asked_for_again_when_the_call_broke(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.stored = [ended(pb.GENERATION_STATE_CANCELLED)]
    gateway.breaks.extend([Break(0), Break(0)])

    seen = await surface.call("get", GENERATION_ID, wait=5)

    assert seen.state is GenerationState.CANCELLED


async def test_the_reason_is_raised_when_nobody_has_it(surface: Surface) -> None:
    with pytest.raises(facet.FacetApiError) as caught:
        await surface.call("get", "g-other")

    assert caught.value.reason == "GENERATION_NOT_FOUND"


@pytest.mark.parametrize(("limit", "numbers"), [(1, [1]), (3, [1, 2, 3]), (50, [1, 2, 3, 4, 5])])
async def test_pages_are_put_together_when_listing(
    surface: Surface, gateway: FakeGateway, limit: int, numbers: list[int]
) -> None:
    gateway.stored = [stored(number) for number in range(1, 6)]

    seen = await surface.call("list", limit=limit)

    assert [generation.next_offset for generation in seen] == numbers


async def test_the_server_is_told_when_it_is_deleted(
    surface: Surface, gateway: FakeGateway
) -> None:
    assert await surface.call("delete", GENERATION_ID) is None

    assert gateway.deleted == [GENERATION_ID]


async def test_the_state_is_unknown_when_a_later_version_tells_it(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.stored = [ended(99)]

    assert (await surface.call("get", GENERATION_ID)).state is GenerationState.UNKNOWN
