"""Both clients against the same scripted gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import pytest

import facet
from facet.api.v1 import event_pb2
from facet.client import Finished, Started, TextDelta
from tests.integration.client.fake_gateway import GENERATION_ID, FakeGateway
from tests.integration.client.surface import Surface, connected

pytestmark = pytest.mark.integration


@pytest.fixture(params=["sync", "async"])
async def surface(request: pytest.FixtureRequest, gateway: FakeGateway) -> AsyncIterator[Surface]:
    async with connected(request.param, gateway.address, api_key="k3y") as client:
        yield client


async def test_events_arrive_in_order_when_streaming(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.say("he", "llo")

    events = await surface.events()

    assert [type(event) for event in events] == [Started, TextDelta, TextDelta, Finished]


async def test_the_key_is_sent_as_bearer_when_given(surface: Surface, gateway: FakeGateway) -> None:
    gateway.say("x")

    await surface.events()

    assert gateway.metadata["authorization"] == "Bearer k3y"


async def test_a_deadline_is_sent_when_none_is_given(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.say("x")

    await surface.events()

    assert 290 < gateway.remaining_seconds < 305


async def test_the_deadline_is_the_callers_when_given(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.say("x")

    await surface.events(timeout_seconds=20)

    assert 10 < gateway.remaining_seconds < 25


async def test_the_call_fails_when_its_deadline_passes(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.hold = True

    with pytest.raises(facet.FacetApiError) as caught:
        await surface.events(timeout_seconds=0.2)

    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert caught.value.generation_id == GENERATION_ID


async def test_the_generation_is_whole_when_its_stream_is_read(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.say("he", "llo")

    generation = await surface.result()

    assert (generation.id, generation.text) == (GENERATION_ID, "hello")
    assert generation.usage.accepted_draft_tokens == 4


async def test_the_rest_arrives_when_a_reader_attaches_in_the_middle(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.say("he", "llo")

    events, generation = await surface.attach(2, timeout_seconds=20)

    assert gateway.attached == [(GENERATION_ID, 2)]
    assert gateway.metadata["authorization"] == "Bearer k3y"
    assert 10 < gateway.remaining_seconds < 25
    assert events[0] == TextDelta(offset=2, text="llo", text_start=2)
    assert [type(event) for event in events] == [TextDelta, Finished]
    assert (generation.id, generation.text) == (GENERATION_ID, "llo")


async def test_everything_arrives_when_a_reader_attaches_at_the_beginning(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.say("he", "llo")

    _, generation = await surface.attach(0)

    assert generation.text == "hello"
    assert 290 < gateway.remaining_seconds < 305


async def test_the_reason_is_raised_when_attaching_is_refused(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.refusal = "GENERATION_NOT_FOUND"

    with pytest.raises(facet.FacetApiError) as caught:
        await surface.attach(0)

    assert caught.value.reason == "GENERATION_NOT_FOUND"


async def test_corruption_is_raised_when_an_attached_stream_skips_events(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.say("a", "b")
    gateway.events.pop(1)

    with pytest.raises(facet.StreamCorruptedError):
        await surface.attach(1)


async def test_the_id_is_known_when_no_event_has_come(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.hold = True

    assert await surface.accepted() == GENERATION_ID


async def test_the_server_sees_the_end_when_a_stream_is_left(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.say("x")
    gateway.hold = True

    await surface.first_event()

    assert await asyncio.to_thread(gateway.call_ended.wait, 10)


async def test_the_reader_hears_it_when_a_stream_is_closed_beside_it(
    gateway: FakeGateway,
) -> None:
    gateway.say("x")
    gateway.events.pop()
    gateway.hold = True
    async with facet.AsyncClient(gateway.address) as client:
        stream = client.stream("hello")
        reader = asyncio.create_task(stream.result())
        await stream.accepted()

        stream.close()

        with pytest.raises(facet.FacetApiError) as caught:
            await asyncio.wait_for(reader, 10)
    assert caught.value.code is grpc.StatusCode.CANCELLED


async def test_the_call_ends_when_its_reader_is_cancelled(gateway: FakeGateway) -> None:
    gateway.hold = True
    async with facet.AsyncClient(gateway.address) as client:
        stream = client.stream("hello")
        reader = asyncio.create_task(stream.result())
        await stream.accepted()

        reader.cancel()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(reader, 10)
        assert await asyncio.to_thread(gateway.call_ended.wait, 10)


async def test_loopback_is_reached_when_the_environment_names_a_proxy(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    with facet.Client(gateway.address) as client:
        assert client.models()
    async with facet.AsyncClient(gateway.address) as aio_client:
        assert await aio_client.models()


async def test_the_reason_is_raised_when_the_call_is_refused(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.refusal = "QUEUE_FULL"

    for attempt in (surface.events(), surface.call("generate", "hello")):
        with pytest.raises(facet.FacetApiError) as caught:
            await attempt
        assert caught.value.reason == "QUEUE_FULL"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda events: events.pop(1),
        lambda events: events.insert(1, events[1]),
        lambda events: events.pop(),
    ],
    ids=["gap", "repeat", "no-end"],
)
async def test_corruption_is_raised_when_offsets_are_broken(
    surface: Surface, gateway: FakeGateway, spoil: Callable[[list[event_pb2.Event]], None]
) -> None:
    gateway.say("a", "b")
    spoil(gateway.events)

    with pytest.raises(facet.StreamCorruptedError):
        await surface.events()


async def test_an_answer_is_whole_when_the_call_is_unary(
    surface: Surface, gateway: FakeGateway
) -> None:
    generation = await surface.call("generate", "hello", model="nano")

    assert (generation.id, generation.text) == (GENERATION_ID, "whole")
    assert gateway.requests[0].model == "nano"


async def test_models_are_listed_when_asked(surface: Surface) -> None:
    (model,) = await surface.call("models")

    assert model.name == "nano"
    assert model.input_modalities == ("text", "image")
    assert await surface.call("model", "nano") == model


async def test_the_error_names_it_when_a_model_is_unknown(surface: Surface) -> None:
    with pytest.raises(facet.FacetApiError) as caught:
        await surface.call("model", "other")

    assert caught.value.code is grpc.StatusCode.NOT_FOUND


async def test_the_generation_is_cancelled_when_asked(
    surface: Surface, gateway: FakeGateway
) -> None:
    assert await surface.call("cancel", GENERATION_ID) is True
    assert gateway.cancelled == [GENERATION_ID]


async def test_the_next_turn_carries_the_last_when_chatting(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.say("answer")

    await surface.chat_twice()

    assert list(gateway.requests[1].contents) == [
        facet.user_turn("one"),
        facet.model_turn("answer"),
        facet.user_turn("two"),
    ]
    assert gateway.requests[0].session_id == gateway.requests[1].session_id != ""


async def test_the_error_is_unavailable_when_nobody_listens(gateway: FakeGateway) -> None:
    gateway.stop()

    with facet.Client(gateway.address) as client, pytest.raises(facet.FacetApiError) as caught:
        client.models()

    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_no_key_is_sent_when_none_is_given(gateway: FakeGateway) -> None:
    gateway.say("x")

    with facet.Client(gateway.address) as client:
        client.stream("hello").result()

    assert "authorization" not in gateway.metadata
