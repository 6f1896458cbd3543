"""Streams and calls that break go on by themselves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import grpc
import pytest

import facet
from facet.client import async_gateways, sync_gateways
from facet.client.persistence import Persistence
from tests.integration.client.fake_gateway import GENERATION_ID, Break, FakeGateway
from tests.integration.client.surface import Surface, connected
from tests.integration.client.wire import Wire

pytestmark = pytest.mark.integration

PIECES = ("he", "l", "lo")
EVENTS = len(PIECES) + 2
ENDLESS = 1000

BREAKS = {
    "gone": (grpc.StatusCode.UNAVAILABLE, ""),
    "draining": (grpc.StatusCode.UNAVAILABLE, "GATEWAY_DRAINING"),
    "store-away": (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
    "cut-off": (grpc.StatusCode.CANCELLED, ""),
    "reset": (grpc.StatusCode.INTERNAL, ""),
}


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def surface(kind: str, gateway: FakeGateway) -> AsyncIterator[Surface]:
    gateway.say(*PIECES)
    async with connected(kind, gateway.address) as client:
        yield client


def offsets(events: list[facet.client.StreamEvent]) -> list[int]:
    return [event.offset for event in events if not isinstance(event, facet.client.Queued)]


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("after", range(EVENTS))
async def test_each_event_arrives_once_when_a_stream_breaks(
    surface: Surface, gateway: FakeGateway, how: str, after: int
) -> None:
    gateway.breaks.append(Break(after, *BREAKS[how]))

    assert offsets(await surface.events()) == list(range(EVENTS))

    assert gateway.attached == [(GENERATION_ID, after)]
    assert len(gateway.requests) == 1


async def test_each_event_arrives_once_when_a_stream_breaks_again_and_again(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.breaks.extend([Break(1), Break(0), Break(None), Break(2)])

    generation = await surface.result()

    assert generation.text == "hello"
    assert [offset for _, offset in gateway.attached] == [1, 1, 1, 3]


async def test_each_event_arrives_once_when_an_attached_stream_breaks(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.breaks.append(Break(1))

    events, generation = await surface.attach(2)

    assert offsets(events) == [2, 3, 4]
    assert generation.text == "llo"
    assert [offset for _, offset in gateway.attached] == [2, 3]


async def test_nothing_is_called_when_only_the_status_was_lost(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.breaks.append(Break(EVENTS))

    assert (await surface.result()).text == "hello"

    assert not gateway.attached


async def test_each_event_arrives_once_when_the_connection_is_cut(
    kind: str, gateway: FakeGateway, wire: Wire
) -> None:
    gateway.say(*PIECES)
    gateway.breaks.append(Break(2, None))
    async with connected(kind, wire.address) as surface:
        events = await surface.events_around(2, wire.cut)

    assert offsets(events) == list(range(EVENTS))
    assert gateway.attached == [(GENERATION_ID, 2)]


@pytest.mark.parametrize("code", [None, grpc.StatusCode.UNAVAILABLE])
async def test_the_next_gateway_goes_on_when_one_is_gone(
    kind: str,
    gateway: FakeGateway,
    other_gateway: FakeGateway,
    code: grpc.StatusCode | None,
) -> None:
    for each in (gateway, other_gateway):
        each.say(*PIECES)
    gateway.breaks.append(Break(2, code))
    target = f"{gateway.address}, {other_gateway.address}"
    async with connected(kind, target) as surface:
        events = await surface.events_around(2, gateway.stop if code is None else lambda: None)

    assert offsets(events) == list(range(EVENTS))
    assert other_gateway.attached == [(GENERATION_ID, 2)]


async def test_every_call_finds_a_gateway_when_one_is_gone(
    kind: str, gateway: FakeGateway, other_gateway: FakeGateway
) -> None:
    gateway.stop()
    async with connected(kind, f"{gateway.address},{other_gateway.address}") as surface:
        assert await surface.call("models")
        assert (await surface.call("generate", "hello")).text == "whole"


async def test_the_request_is_repeated_under_its_id_when_it_broke_before_it_was_accepted(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.breaks.extend([Break(None), Break(None, *BREAKS["store-away"])])

    assert (await surface.result()).text == "hello"

    ids = [request.request_id for request in gateway.requests]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert ids[0]


async def test_requests_have_different_ids_when_the_caller_gives_none(
    surface: Surface, gateway: FakeGateway
) -> None:
    for _ in range(2):
        await surface.result()
        await surface.call("generate", "hello")

    assert len({request.request_id for request in gateway.requests}) == 4


async def test_the_callers_id_is_sent_when_there_is_one(
    surface: Surface, gateway: FakeGateway
) -> None:
    await surface.result(request_id="mine")

    assert gateway.requests[0].request_id == "mine"


async def test_nothing_is_repeated_when_the_request_has_no_id(
    surface: Surface, gateway: FakeGateway
) -> None:
    for attempt in (
        surface.result(request_id=""),
        surface.call("generate", "hello", request_id=""),
        surface.call("submit", "hello", request_id=""),
    ):
        gateway.requests.clear()
        gateway.breaks.append(Break(None))
        with pytest.raises(facet.FacetApiError) as caught:
            await attempt
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
        assert len(gateway.requests) == 1


async def test_the_break_is_raised_when_reattaching_is_off(kind: str, gateway: FakeGateway) -> None:
    gateway.say(*PIECES)
    async with connected(kind, gateway.address, reattach=False) as surface:
        for attempt in (surface.result(), surface.call("generate", "hello")):
            gateway.breaks.append(Break(2))
            with pytest.raises(facet.FacetApiError) as caught:
                await attempt
            assert caught.value.code is grpc.StatusCode.UNAVAILABLE
            assert caught.value.generation_id == GENERATION_ID

    assert not gateway.attached
    assert len(gateway.requests) == 2


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.CANCELLED, "CANCELLED"),
        (grpc.StatusCode.ABORTED, "UNRESUMABLE"),
        (grpc.StatusCode.ABORTED, "LOG_REGRESSED"),
        (grpc.StatusCode.DATA_LOSS, "LOG_LOST"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (grpc.StatusCode.INTERNAL, "ENGINE_FAILED"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ""),
    ],
)
async def test_what_a_gateway_decided_is_raised_when_it_says_so(
    surface: Surface, gateway: FakeGateway, code: grpc.StatusCode, reason: str
) -> None:
    for attempt in (surface.result(), surface.call("generate", "hello")):
        gateway.requests.clear()
        gateway.breaks.append(Break(2, code, reason))
        with pytest.raises(facet.FacetApiError) as caught:
            await attempt
        assert caught.value.reason == (reason or code.name)
        assert len(gateway.requests) == 1

    assert not gateway.attached


async def test_the_same_is_raised_when_a_failed_stream_is_read_again(
    kind: str, gateway: FakeGateway
) -> None:
    gateway.say(*PIECES)
    gateway.breaks.append(Break(2, grpc.StatusCode.ABORTED, "LOG_REGRESSED"))
    async with connected(kind, gateway.address) as surface:
        reasons = await surface.reasons_of_two_reads()

    assert reasons == ["LOG_REGRESSED"] * 2


async def test_the_stream_waits_for_the_log_when_the_store_fell_back(
    surface: Surface, gateway: FakeGateway
) -> None:
    behind = Break(None, grpc.StatusCode.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE")
    gateway.breaks.extend([Break(2), behind, behind])

    assert (await surface.result()).text == "hello"


async def test_a_wrong_offset_is_raised_when_the_caller_named_it(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.breaks.append(Break(None, grpc.StatusCode.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE"))

    with pytest.raises(facet.FacetApiError) as caught:
        await surface.attach(2)

    assert caught.value.reason == "OFFSET_OUT_OF_RANGE"
    assert len(gateway.attached) == 1


async def test_it_is_asked_anew_when_it_was_lost_before_anything_was_delivered(
    surface: Surface, gateway: FakeGateway
) -> None:
    lost = Break(None, grpc.StatusCode.NOT_FOUND, "GENERATION_NOT_FOUND")
    gateway.breaks.extend([Break(0), lost])

    assert (await surface.result()).text == "hello"

    assert len(gateway.requests) == 2


async def test_the_loss_is_raised_when_something_was_delivered(
    surface: Surface, gateway: FakeGateway
) -> None:
    lost = Break(None, grpc.StatusCode.NOT_FOUND, "GENERATION_NOT_FOUND")
    gateway.breaks.extend([Break(1), lost])

    with pytest.raises(facet.FacetApiError) as caught:
        await surface.result()

    assert caught.value.reason == "GENERATION_NOT_FOUND"
    assert len(gateway.requests) == 1


async def test_the_break_is_raised_when_the_deadline_comes_first(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.breaks.extend([Break(0)] * ENDLESS)
    began = time.monotonic()

    with pytest.raises(facet.FacetApiError) as caught:
        await surface.result(timeout_seconds=1)

    assert caught.value.generation_id == GENERATION_ID
    assert time.monotonic() - began < 5


async def test_the_break_is_raised_when_nobody_ever_answered(
    surface: Surface, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sync_gateways, async_gateways):
        monkeypatch.setattr(module, "FIRST_CONTACT_SECONDS", 0.5)
    gateway.stop()
    began = time.monotonic()

    for attempt in (surface.result(), surface.call("generate", "hello")):
        with pytest.raises(facet.FacetApiError) as caught:
            await attempt
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE

    assert time.monotonic() - began < 10


async def test_an_answer_is_whole_when_its_call_broke(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.breaks.extend([Break(0), Break(None)])

    assert (await surface.call("generate", "hello")).text == "whole"

    assert len({request.request_id for request in gateway.requests}) == 1
    assert len(gateway.requests) == 3


async def test_the_id_is_known_when_the_first_call_broke(
    surface: Surface, gateway: FakeGateway
) -> None:
    gateway.breaks.append(Break(None))

    assert await surface.accepted() == GENERATION_ID


async def test_a_turn_is_kept_when_its_stream_broke(surface: Surface, gateway: FakeGateway) -> None:
    gateway.breaks.append(Break(2))

    await surface.chat_twice()

    assert gateway.requests[-1].contents[1] == facet.model_turn("hello")


async def test_the_reader_hears_it_when_a_stream_is_closed_between_two_calls(
    gateway: FakeGateway,
) -> None:
    gateway.breaks.extend([Break(0)] * ENDLESS)
    async with facet.AsyncClient(gateway.address) as client:
        stream = client.stream("hello")
        reader = asyncio.create_task(stream.result())
        await stream.accepted()

        stream.close()

        with pytest.raises(facet.FacetApiError):
            await asyncio.wait_for(reader, 10)


async def test_nobody_calls_any_more_when_a_reader_is_cancelled_between_two_calls(
    gateway: FakeGateway,
) -> None:
    gateway.breaks.extend([Break(0)] * ENDLESS)
    async with facet.AsyncClient(gateway.address) as client:
        stream = client.stream("hello")
        reader = asyncio.create_task(stream.result())
        await stream.accepted()

        reader.cancel()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(reader, 10)


@pytest.mark.parametrize("breaks", [1, 3])
async def test_one_call_follows_each_break_when_two_wait_for_the_stream(
    kind: str, gateway: FakeGateway, breaks: int
) -> None:
    gateway.say(*PIECES)
    gateway.breaks.extend([Break(None)] * breaks)
    async with connected(kind, gateway.address) as surface:
        accepted, generation = await surface.accepted_beside_a_reader()

    assert (accepted, generation.text) == (GENERATION_ID, "hello")
    assert len(gateway.requests) + len(gateway.attached) == breaks + 1


async def test_a_stream_can_be_read_when_its_reader_was_cancelled_before_it_began(
    gateway: FakeGateway,
) -> None:
    gateway.say(*PIECES)
    async with facet.AsyncClient(gateway.address) as client:
        stream = client.stream("hello")
        reader = asyncio.create_task(stream.result())
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

        assert (await stream.result()).text == "hello"

    assert len(gateway.requests) == 1


async def test_the_call_stays_open_until_it_is_closed_when_its_reader_never_began(
    gateway: FakeGateway,
) -> None:
    gateway.say(*PIECES)
    gateway.hold = True
    async with facet.AsyncClient(gateway.address) as client:
        stream = client.stream("hello")
        reader = asyncio.create_task(stream.result())
        reader.cancel()
        await asyncio.wait({reader})
        assert await stream.accepted() == GENERATION_ID
        assert not gateway.call_ended.is_set()

        stream.close()

        assert await asyncio.to_thread(gateway.call_ended.wait, 10)


async def test_the_break_is_raised_when_the_client_is_closed_between_two_calls(
    kind: str, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_between = threading.Event()

    def wait_a_little(*_: object, **__: object) -> float:
        is_between.set()
        return 0.5

    monkeypatch.setattr(Persistence, "next_delay_seconds", wait_a_little)
    for name in ("result", "generate"):
        is_between.clear()
        gateway.requests.clear()
        gateway.breaks.append(Break(None))
        async with connected(kind, gateway.address) as surface:
            reading = asyncio.create_task(surface.in_background(name))
            assert await asyncio.to_thread(is_between.wait, 10)
            await surface.call("close")

            with pytest.raises(facet.FacetApiError) as caught:
                await asyncio.wait_for(reading, 10)
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
        assert len(gateway.requests) == 1


def test_streams_end_when_their_client_is_closed(gateway: FakeGateway) -> None:
    gateway.say("x")
    gateway.events.pop()
    gateway.hold = True
    client = facet.Client(gateway.address)
    stream = client.stream("hello")
    next(stream)

    client.close()

    with pytest.raises(facet.FacetApiError):
        stream.result()
