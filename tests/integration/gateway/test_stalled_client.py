"""A client that stops reading."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from facet.gateway.log_reader import BUFFER_BYTES
from facet.queue.values import LogEntry
from tests.integration.gateway.conftest import Bench
from tests.integration.gateway.requests import generation_id_of, rest_of, streamed

pytestmark = pytest.mark.integration

EVENTS = 600
EVENT_BYTES = 16 * 1024
# What gRPC and the kernel hold for a client beside the gateway's own buffer.
IN_FLIGHT_BYTES = 6 * 1024 * 1024


async def test_nothing_is_lost_and_little_is_held_when_a_client_stalls(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = bench.gateway.catalogue.routes[0]
    read, read_bytes = route.queue.read, 0

    async def counted(cursors: Mapping[str, int], **options: Any) -> dict[str, list[LogEntry]]:
        nonlocal read_bytes
        news = await read(cursors, **options)
        read_bytes += sum(len(e.response) for e in news.get(stalled_id, ()))
        return news

    monkeypatch.setattr(route.queue, "read", counted)
    stalled = bench.inference.StreamGenerateContent(streamed())
    stalled_id = await generation_id_of(stalled)
    job = await bench.worker.claim()
    for _ in range(EVENTS):
        await job.say("x" * EVENT_BYTES)
    await job.finish()

    other = bench.inference.StreamGenerateContent(streamed())
    await generation_id_of(other)
    prompt = await bench.worker.claim()
    await prompt.finish()
    assert len(await rest_of(other)) == 1
    await asyncio.sleep(0)
    assert read_bytes <= IN_FLIGHT_BYTES + 5 * BUFFER_BYTES
    assert read_bytes < EVENTS * EVENT_BYTES

    events = await rest_of(stalled)
    assert [event.offset for event in events] == list(range(EVENTS + 1))
    assert all(len(event.text_delta.text) == EVENT_BYTES for event in events[:-1])
