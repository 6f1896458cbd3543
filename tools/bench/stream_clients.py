"""Clients of streams, as cheap as they can be: messages are scanned, not decoded."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import grpc
import uvloop

from facet.api.v1.content_pb2 import ROLE_USER, Content, Part
from facet.api.v1.generation_pb2 import GenerationRequest
from facet.api.v1.inference_service_pb2 import StreamGenerateContentRequest
from tools.bench.stream_marks import marks

METHOD = "/facet.v1.InferenceService/StreamGenerateContent"
NANOSECONDS_PER_BUCKET = 100_000
_STREAMS_PER_CONNECTION = 100
_OPENING_AT_ONCE = 8


@dataclass
class Received:
    """What came. `delays` counts events by delivery delay in units of 0.1 ms.

    `failures` counts calls by the status they ended with, OK left out. `messages` are those with
    events that were waited for.
    """

    finished: int = 0
    events: int = 0
    messages: int = 0
    duplicates: int = 0
    gaps: int = 0
    cpu_seconds: float = 0.0
    delays: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, other: Received) -> None:
        """Count another process's too."""
        self.finished += other.finished
        self.events += other.events
        self.messages += other.messages
        self.duplicates += other.duplicates
        self.gaps += other.gaps
        self.cpu_seconds += other.cpu_seconds
        self.delays += other.delays
        self.failures += other.failures

    def take(self, message: bytes, now_ns: int, expected: int) -> int:
        """Account for a message that arrived; the index of the event that is due next."""
        found = marks(message)
        for index, made_ns in found:
            self.delays[(now_ns - made_ns) // NANOSECONDS_PER_BUCKET] += 1
            if index < expected:
                self.duplicates += 1
                continue
            self.gaps += index > expected
            self.events += 1
            expected = index + 1
        self.messages += bool(found)
        return expected


def follow(address: str, streams: int, seconds: float) -> Received:
    """Open that many streams and follow all to their ends. Meant for a process of its own.

    `seconds` bounds each call.
    """
    # Nothing here makes cycles, and a collection would hold up all streams.
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_follow(address, streams, seconds))


async def _follow(address: str, streams: int, seconds: float) -> Received:
    received = Received()
    opening = asyncio.Semaphore(_OPENING_AT_ONCE)
    cpu = time.process_time()
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(_channel(address))
            for _ in range(0, streams, _STREAMS_PER_CONNECTION)
        ]
        await asyncio.gather(
            *(
                _stream(channels[number % len(channels)], received, opening, seconds)
                for number in range(streams)
            )
        )
    received.cpu_seconds = time.process_time() - cpu
    return received


def _channel(address: str) -> grpc.aio.Channel:
    # Channels of one process to one address share a connection unless each has its own pool.
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


async def _stream(
    channel: grpc.aio.Channel, received: Received, opening: asyncio.Semaphore, seconds: float
) -> None:
    method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(METHOD)
    call = method(_request(), timeout=seconds)
    try:
        async with opening:
            await call.initial_metadata()
        await _read(aiter(call), received)
    except grpc.aio.AioRpcError as error:
        received.failures[f"{error.code().name}: {error.details()}"] += 1
    else:
        received.finished += 1


async def _read(messages: AsyncIterator[bytes], received: Received) -> None:
    expected = 0
    async for message in messages:
        expected = received.take(message, time.monotonic_ns(), expected)


def _request() -> bytes:
    content = Content(role=ROLE_USER, parts=[Part(text="stream")])
    request = GenerationRequest(contents=[content])
    return StreamGenerateContentRequest(request=request).SerializeToString()
