"""Clients that hold what they do not use: the gateway lets them go and serves the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from facet.api.v1.inference_service_pb2 import GetGenerationRequest
from facet.gateway import health_service, receiving
from facet.gateway.api_keys import KeyFileAuthenticator
from tests.integration.gateway.conftest import Bench, BenchMaker
from tests.integration.gateway.raw_http2 import (
    ENHANCE_YOUR_CALM,
    GOAWAY,
    PING,
    PREFACE,
    SECONDS,
    SETTINGS,
    connected,
    frame,
)
from tests.integration.gateway.requests import error_of, failure_of, streamed

pytestmark = pytest.mark.integration


def raw(bench: Bench) -> Any:
    """The channel, for bytes instead of messages."""
    return bench.channel


async def serves(bench: Bench) -> bool:
    answer = await HealthStub(bench.channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def unsent() -> AsyncIterator[bytes]:
    """A request that never comes."""
    await asyncio.Event().wait()
    yield b""


@pytest.mark.parametrize("method", ["GenerateContent", "StreamGenerateContent", "GetGeneration"])
async def test_call_is_ended_when_its_request_does_not_arrive(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(receiving, "RECEIVE_SECONDS", 0.3)
    call = raw(bench).stream_stream(f"/facet.v1.InferenceService/{method}")(unsent())
    code, info = await failure_of(call.read())
    assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert await serves(bench)


@pytest.mark.parametrize("method", ["Check", "Watch"])
async def test_a_health_call_is_ended_when_its_request_does_not_arrive(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(health_service, "RECEIVE_SECONDS", 0.3)
    call = raw(bench).stream_stream(f"/grpc.health.v1.Health/{method}")(unsent())
    code, _ = await failure_of(call.read())
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_reflection_is_ended_when_nothing_is_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "CONVERSATION_SECONDS", 0.3)
    name = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    code, _ = await failure_of(raw(bench).stream_stream(name)(unsent()).read())
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_stranger_is_refused_before_the_request_is_sent(benches: BenchMaker) -> None:
    bench = await benches.start(KeyFileAuthenticator([]))
    call = raw(bench).stream_stream("/facet.v1.InferenceService/GenerateContent")(unsent())
    code, _ = await failure_of(call.read())
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_bytes_are_refused_as_invalid_when_they_are_no_message(bench: Bench) -> None:
    call = raw(bench).unary_unary("/facet.v1.InferenceService/GenerateContent")(b"\xff\xff")
    code, info = await failure_of(call)
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_watchers_are_refused_when_there_are_too_many(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_service, "MAX_WATCHERS", 2)
    health = HealthStub(bench.channel)
    watching = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
    for call in watching:
        await call.read()
    error = await error_of(health.Watch(health_pb2.HealthCheckRequest()).read())
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await serves(bench)
    for call in watching:
        call.cancel()


async def test_call_is_refused_when_its_metadata_are_too_large(bench: Bench) -> None:
    metadata = (("x-large", "a" * (17 << 10)),)
    request = GetGenerationRequest(generation_id="g")
    error = await error_of(bench.inference.GetGeneration(request, metadata=metadata))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await serves(bench)


async def test_message_is_refused_when_it_is_too_large(bench: Bench) -> None:
    call = bench.inference.StreamGenerateContent(streamed("a" * (25 << 20)))
    error = await error_of(call.read())
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await serves(bench)


async def test_connection_is_ended_when_it_pings_too_often(bench: Bench) -> None:
    async with connected(bench.address) as connection:
        connection.send(PREFACE, frame(SETTINGS), frame(PING, bytes(8)) * 50)
        assert (await connection.first(GOAWAY)).error == ENHANCE_YOUR_CALM
    assert await serves(bench)


async def test_others_are_served_when_a_client_sends_no_http(bench: Bench) -> None:
    host, _, port = bench.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\n\r\n" * 100)
    async with asyncio.timeout(SECONDS):
        while await reader.read(4096):
            pass
    writer.close()
    assert await serves(bench)
