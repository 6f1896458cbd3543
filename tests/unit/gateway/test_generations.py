"""Listing what a tenant has, over the queues of several models."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from facet.api.v1 import inference_service_pb2 as pb
from facet.core.media_store import MemoryMediaStore
from facet.core.models import NANO
from facet.gateway.catalogue import Catalogue, Route
from facet.gateway.erasure import Eraser
from facet.gateway.generations import Generations
from facet.gateway.intake import Intake, IntakeLimits
from facet.gateway.log_reader import LogReader
from facet.gateway.open_calls import OpenCalls
from facet.gateway.workers import LiveWorkers
from facet.queue.memory_queue import MemoryQueue
from tests.support.queue_contract.world import TENANT, submission
from tests.unit.gateway.calls import FakeCall

pytestmark = pytest.mark.unit

LIMITS = IntakeLimits(
    max_inline_bytes=1 << 20,
    max_inflight_inline_bytes=1 << 20,
    default_deadline_seconds=60,
    max_deadline_seconds=100,
    reader_grace_seconds=10,
)


async def generations(*waiting: Sequence[str]) -> Generations:
    """Over a queue a model, each with what waits there, each a little newer than the one before."""
    routes = []
    ticks = itertools.count(1_000)
    for number, names in enumerate(waiting):
        queue = MemoryQueue(clock_ms=lambda: next(ticks))
        for name in names:
            await queue.submit(submission(name))
        card = replace(NANO, name=f"model-{number}")
        routes.append(Route(card, queue, LogReader(queue, grace_seconds=5), LiveWorkers(queue)))
    catalogue = Catalogue(routes)
    media = MemoryMediaStore()
    intake = Intake(catalogue, media, LIMITS)
    return Generations(catalogue, intake, OpenCalls(9), Eraser(media))


async def list_page(listed: Generations, token: str) -> tuple[list[str], str]:
    request = pb.ListGenerationsRequest(page_size=2, page_token=token)
    page = await listed.list(request, FakeCall(TENANT))
    return [each.generation_id for each in page.generations], page.next_page_token


async def test_each_is_listed_once_when_pages_reach_over_models() -> None:
    listed = await generations(["g-0-1"], ["g-0-2"], ["g-0-3"])

    first, token = await list_page(listed, "")

    assert first == ["g-0-3", "g-0-2"]
    assert await list_page(listed, token) == (["g-0-1"], "")


async def test_a_model_is_listed_from_its_beginning_when_the_first_release_gave_the_token() -> None:
    listed = await generations(["g-0-1"], ["g-0-2", "g-0-3"])

    found, _ = await list_page(listed, "1.0")

    assert sorted(found) == ["g-0-2", "g-0-3"]
