"""Bounds of a connection, on real gateways with shorter times: who passes them is let go alone."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from facet.gateway import receiving, server
from tests.integration.gateway.conftest import Bench, BenchMaker
from tests.integration.gateway.raw_http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SECONDS,
    SETTINGS,
    call_headers,
    connected,
    frame,
    literal,
)
from tests.integration.gateway.requests import next_of

pytestmark = pytest.mark.integration

OPENING = PREFACE + frame(SETTINGS)
WATCH = "/grpc.health.v1.Health/Watch"
GENERATE = "/facet.v1.InferenceService/GenerateContent"
# Far above what is waited for here, far below what the real bounds are.
SOON_SECONDS = 6.0


async def serves(bench: Bench) -> bool:
    """Whether another connection is answered."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(bench.address, options=options) as channel:
        request = health_pb2.HealthCheckRequest()
        answer = await HealthStub(channel).Check(request, timeout=SECONDS)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE])
async def test_connection_is_ended_when_its_handshake_never_ends(
    benches: BenchMaker, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(server, "HANDSHAKE_SECONDS", 1)
    bench = await benches.start()
    began = time.monotonic()
    async with connected(bench.address) as connection:
        connection.send(said)
        await connection.ended()
        assert time.monotonic() - began < SOON_SECONDS
        assert await serves(bench)


async def test_connection_is_ended_when_nothing_was_called_for_long(
    benches: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTION_IDLE_SECONDS", 1)
    bench = await benches.start()
    async with connected(bench.address) as idle, connected(bench.address) as busy:
        idle.send(OPENING)
        busy.send(OPENING, frame(HEADERS, call_headers(WATCH), flags=END_HEADERS, stream=1))
        busy.send(frame(DATA, bytes(5), flags=END_STREAM, stream=1))
        frames = await idle.ended()
        assert GOAWAY in [each.kind for each in frames]
        # Who has a call is not idle.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await busy.ended()
        assert await serves(bench)


async def test_connection_is_ended_when_its_client_answers_no_pings(bench: Bench) -> None:
    began = time.monotonic()
    async with connected(bench.address) as connection:
        connection.send(OPENING)
        frames = await connection.ended(answers_pings=False)
        assert PING in [each.kind for each in frames]
        assert time.monotonic() - began < SOON_SECONDS
    assert await serves(bench)


@pytest.mark.parametrize("pings", [server.MIN_PING_INTERVAL_SECONDS, 0.05])
async def test_connection_is_ended_when_keepalive_pings_come_too_often(
    bench: Bench, pings: float
) -> None:
    is_abuse = pings < server.MIN_PING_INTERVAL_SECONDS
    async with connected(bench.address) as connection:
        connection.send(OPENING)

        async def ping() -> None:
            while True:
                connection.send(frame(PING, bytes(8)))
                await asyncio.sleep(pings)

        pinging = asyncio.create_task(ping())
        try:
            if is_abuse:
                assert (await connection.first(GOAWAY)).error == ENHANCE_YOUR_CALM
            else:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(3 * pings):
                        await connection.first(GOAWAY)
        finally:
            pinging.cancel()
    assert await serves(bench)


async def test_streams_are_refused_when_a_connection_opens_too_many(
    benches: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_STREAMS_PER_CONNECTION", 4)
    bench = await benches.start()
    async with connected(bench.address) as connection:
        connection.send(OPENING)
        for stream in range(1, 20, 2):
            connection.send(
                frame(HEADERS, call_headers(WATCH), flags=END_HEADERS, stream=stream),
                frame(DATA, bytes(5), flags=END_STREAM, stream=stream),
            )
        refusal = await connection.first(RST_STREAM)
        assert (refusal.stream, refusal.error) == (9, ENHANCE_YOUR_CALM)
        answered = {(await connection.first(DATA)).stream for _ in range(4)}
        assert answered == {1, 3, 5, 7}
        assert await serves(bench)


async def test_calls_wait_for_a_stream_when_a_clients_connection_has_no_more(
    benches: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_STREAMS_PER_CONNECTION", 2)
    bench = await benches.start()
    health = HealthStub(bench.channel)
    watching = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
    for call in watching:
        await next_of(call)
    waiting = asyncio.ensure_future(health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.5)
    watching[0].cancel()
    assert (await waiting).status == health_pb2.HealthCheckResponse.SERVING
    watching[1].cancel()


async def test_connections_are_refused_when_there_are_too_many(
    benches: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    bench = await benches.start()
    async with connected(bench.address) as first, connected(bench.address) as second:
        for connection in (first, second):
            connection.send(OPENING)
            await connection.first(SETTINGS)
        async with connected(bench.address) as third:
            third.send(OPENING)
            assert await third.ended() == []
    assert await serves(bench)


async def test_call_is_refused_unread_when_its_metadata_come_in_many_frames(bench: Bench) -> None:
    padding = b"".join(literal(f"x-{number}", "a" * 100) for number in range(100))
    async with connected(bench.address) as connection:
        connection.send(OPENING, frame(HEADERS, call_headers(WATCH), stream=1))
        for _ in range(20):
            connection.send(frame(CONTINUATION, padding, stream=1))
        connection.send(frame(CONTINUATION, flags=END_HEADERS, stream=1))
        # Else its request would be waited for, for health_service.RECEIVE_SECONDS.
        async with asyncio.timeout(2):
            refusal = await connection.first(HEADERS)
        assert refusal.flags & END_STREAM
    assert await serves(bench)


async def test_call_is_ended_when_its_request_trickles(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "RECEIVE_SECONDS", 0.5)
    began = time.monotonic()
    async with connected(bench.address) as connection:
        connection.send(
            OPENING,
            frame(HEADERS, call_headers(GENERATE), flags=END_HEADERS, stream=1),
            # A message of 1000 bytes is promised.
            frame(DATA, b"\0" + (1000).to_bytes(4), stream=1),
        )

        async def trickle() -> None:
            while True:
                connection.send(frame(DATA, b"\n", stream=1))
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        try:
            ended = await connection.first(HEADERS, RST_STREAM)
        finally:
            trickling.cancel()
        assert ended.stream == 1
        assert ended.kind == RST_STREAM or ended.flags & END_STREAM
        assert 0.4 < time.monotonic() - began < SOON_SECONDS
    assert await serves(bench)
