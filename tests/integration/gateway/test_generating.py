"""Streaming and unary answers over real gRPC and a real store."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import grpc
import pytest

from facet.api.v1.content_pb2 import Blob, Content, FunctionCall, Part
from facet.api.v1.event_pb2 import Event, Finished, ThoughtDelta
from facet.api.v1.generation_pb2 import (
    FINISH_REASON_TOOL_CALLS,
    PRIORITY_BATCH,
    GenerationConfig,
    GenerationRequest,
    ThinkingConfig,
    UsageMetadata,
)
from facet.api.v1.inference_service_pb2 import (
    AttachGenerationRequest,
    GenerateContentRequest,
    GenerateContentResponse,
    StreamGenerateContentRequest,
)
from facet.core.errors import EngineFailedError, MediaUndecodableError
from tests.integration.gateway.conftest import Bench
from tests.integration.gateway.requests import (
    error_of,
    failure_of,
    generation_id_of,
    info_of,
    logged,
    next_of,
    rest_of,
    streamed,
    unary,
)
from tests.support.media_samples import PNG

pytestmark = pytest.mark.integration


async def test_events_arrive_in_order_when_a_worker_streams(bench: Bench) -> None:
    call = bench.inference.StreamGenerateContent(streamed())
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    assert job.envelope.generation_id == generation_id
    assert job.envelope.request.model == "nano"
    await job.start()
    for number in range(50):
        await job.say(f"{number} ", "…")
    await job.finish()
    events = await rest_of(call)
    assert [event.offset for event in events] == list(range(102))
    assert "".join(event.text_delta.text for event in events) == "".join(
        f"{number} …" for number in range(50)
    )
    assert await call.code() is grpc.StatusCode.OK


async def test_first_event_arrives_at_once_when_it_is_logged(bench: Bench) -> None:
    call = bench.inference.StreamGenerateContent(streamed())
    await generation_id_of(call)
    job = await bench.worker.claim()
    await job.start()
    loop = asyncio.get_running_loop()
    started = loop.time()
    message = await next_of(call)
    assert [event.WhichOneof("kind") for event in message.events] == ["started"]
    assert loop.time() - started < 0.5
    await job.finish()
    assert len(await rest_of(call)) == 1


async def test_waiting_is_shown_when_no_worker_comes(bench: Bench) -> None:
    call = bench.inference.StreamGenerateContent(streamed())
    await generation_id_of(call)
    message = await next_of(call)
    [event] = message.events
    assert event.WhichOneof("kind") == "queued"
    assert event.queued.cold_start
    job = await bench.worker.claim()
    await job.finish()
    assert [event.offset for event in await rest_of(call)] == [0]


async def test_signs_of_life_come_every_15_s_when_a_request_waits(bench: Bench) -> None:
    loop = asyncio.get_running_loop()
    before = bench.inference.StreamGenerateContent(streamed("first"))
    await generation_id_of(before)
    call = bench.inference.StreamGenerateContent(streamed("second"))
    await generation_id_of(call)
    seen_at = loop.time()
    for _ in range(2):
        # No longer wait than the API promises.
        message: Any = await asyncio.wait_for(call.read(), 15)
        [event] = message.events
        assert loop.time() - seen_at <= 15
        seen_at = loop.time()
        assert (event.WhichOneof("kind"), event.queued.position) == ("queued", 1)
        assert event.offset == 0
    for each in (before, call):
        job = await bench.worker.claim()
        await job.finish()
        # Frames stand outside of the offsets.
        assert [event.offset for event in await rest_of(each)] == [0]


async def test_answer_is_folded_when_the_call_is_unary(bench: Bench) -> None:
    thinking = GenerationConfig(thinking=ThinkingConfig(enabled=True, include_thoughts=True))
    call = bench.inference.GenerateContent(unary(generation_config=thinking))
    job = await bench.worker.claim()
    generation_id = job.envelope.generation_id
    await job.start()
    await job.append(Event(thought_delta=ThoughtDelta(text="so")))
    await job.say("a", "b")
    await job.append(Event(function_call=FunctionCall(id="1", name="look")))
    await job.finish(
        Finished(
            finish_reason=FINISH_REASON_TOOL_CALLS,
            usage=UsageMetadata(prompt_token_count=3, drafted_token_count=9),
        )
    )
    answer = await call
    assert await generation_id_of(call) == generation_id
    [candidate] = answer.candidates
    assert answer.generation_id == generation_id
    assert answer.model == "nano"
    assert answer.usage_metadata.drafted_token_count == 9
    assert candidate.finish_reason == FINISH_REASON_TOOL_CALLS
    assert [(p.text, p.thought, p.function_call.name) for p in candidate.content.parts] == [
        ("so", True, ""),
        ("ab", False, ""),
        ("", False, "look"),
    ]


async def test_id_is_told_before_the_answer_when_the_call_is_unary(bench: Bench) -> None:
    # The generated stub hands unary metadata out with the answer only; the wire has them before.
    method = bench.channel.unary_stream(
        "/facet.v1.InferenceService/GenerateContent",
        request_serializer=GenerateContentRequest.SerializeToString,
        response_deserializer=GenerateContentResponse.FromString,
    )
    call = method(unary())
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    assert job.envelope.generation_id == generation_id
    await job.finish()
    assert (await next_of(call)).generation_id == generation_id


async def test_events_come_before_the_status_when_a_generation_fails(bench: Bench) -> None:
    call = bench.inference.StreamGenerateContent(streamed())
    await generation_id_of(call)
    job = await bench.worker.claim()
    await job.say("half")
    await job.fail(EngineFailedError("it broke", metadata={"attempt": "1"}))
    events: list[Event] = []
    while len(events) < 2:
        events += logged(await next_of(call))
    assert [event.WhichOneof("kind") for event in events] == ["text_delta", "finished"]
    error = await error_of(call.read())
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "it broke")
    info = info_of(error)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "ENGINE_FAILED",
        "facet.dev",
        {"attempt": "1"},
    )


async def test_status_is_the_workers_when_a_unary_generation_fails(bench: Bench) -> None:
    call = bench.inference.GenerateContent(unary())
    job = await bench.worker.claim()
    await job.fail(MediaUndecodableError.of("request.contents[0].parts[0].inline_data", "broken"))
    code, info = await failure_of(call)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert info.reason == "MEDIA_UNDECODABLE"


async def test_media_travel_by_reference_when_a_part_is_inline(bench: Bench) -> None:
    parts = [Part(text="see"), Part(inline_data=Blob(mime_type="image/png", data=PNG))]
    request = GenerationRequest(contents=[Content(parts=parts)], priority=PRIORITY_BATCH)
    call = bench.inference.StreamGenerateContent(StreamGenerateContentRequest(request=request))
    await generation_id_of(call)
    job = await bench.worker.claim()
    [item] = job.envelope.media
    assert (item.mime_type, item.size_bytes) == ("image/png", len(PNG))
    assert item.sha256 == hashlib.sha256(PNG).digest()
    assert job.envelope.request.contents[0].parts[1].media.media_id == item.key
    assert PNG not in job.claimed.envelope
    assert await bench.media.get(item.key) == PNG
    await job.finish()
    await rest_of(call)


async def test_same_generation_answers_when_a_request_id_repeats(bench: Bench) -> None:
    first = bench.inference.StreamGenerateContent(streamed(request_id="r1"))
    generation_id = await generation_id_of(first)
    again = bench.inference.StreamGenerateContent(streamed(request_id="r1"))
    assert await generation_id_of(again) == generation_id
    job = await bench.worker.claim()
    await job.say("one answer")
    await job.finish()
    assert await rest_of(first) == await rest_of(again)
    other = await error_of(bench.inference.GenerateContent(unary("else", request_id="r1")))
    assert other.code() is grpc.StatusCode.ALREADY_EXISTS
    assert info_of(other).reason == "REQUEST_ID_REUSED"


async def test_reading_goes_on_in_the_middle_when_a_client_attaches(bench: Bench) -> None:
    call = bench.inference.StreamGenerateContent(streamed())
    generation_id = await generation_id_of(call)
    job = await bench.worker.claim()
    await job.say("0", "1", "2")
    attached = bench.inference.AttachGeneration(
        AttachGenerationRequest(generation_id=generation_id, from_offset=1)
    )
    assert await generation_id_of(attached) == generation_id
    await job.say("3")
    await job.finish()
    assert [event.offset for event in await rest_of(attached)] == [1, 2, 3, 4]
    assert [event.offset for event in await rest_of(call)] == [0, 1, 2, 3, 4]
    beyond = bench.inference.AttachGeneration(
        AttachGenerationRequest(generation_id=generation_id, from_offset=6)
    )
    code, info = await failure_of(beyond.read())
    assert (code, info.reason) == (grpc.StatusCode.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE")
