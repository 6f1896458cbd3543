"""What a tenant has in the queues of several models: listed, and fetched."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from facet.api.v1 import inference_service_pb2 as pb
from facet.core.errors import GenerationNotFoundError
from facet.core.media_store import MemoryMediaStore
from facet.core.models import NANO
from facet.gateway.catalogue import Catalogue, Route
from facet.gateway.erasure import Eraser
from facet.gateway.generations import Generations
from facet.gateway.intake import Intake, IntakeLimits
from facet.gateway.log_pages import ENTRIES_PER_PAGE
from facet.gateway.log_reader import LogReader
from facet.gateway.open_calls import OpenCalls
from facet.gateway.workers import LiveWorkers
from facet.queue.generation_id import new_generation_id
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import LogEntry
from tests.support.queue_contract.world import TENANT, append, claim, finish, submission
from tests.unit.gateway.calls import FakeCall

pytestmark = pytest.mark.unit

LIMITS = IntakeLimits(
    max_inline_bytes=1 << 20,
    max_inflight_inline_bytes=1 << 20,
    default_deadline_seconds=60,
    max_deadline_seconds=100,
    reader_grace_seconds=10,
)


class DeletedMeanwhile(MemoryQueue):
    """Has a generation until its log was read so often."""

    def __init__(self, name: str, reads: int) -> None:
        super().__init__()
        self._name = name
        self._reads = reads

    async def read(self, cursors: Mapping[str, int], *, limit: int) -> dict[str, list[LogEntry]]:
        if not self._reads:
            await self.delete(self._name, TENANT)
        self._reads -= 1
        return await super().read(cursors, limit=limit)


async def generations(*waiting: Sequence[str]) -> Generations:
    """Over a queue a model, each with what waits there, each a little newer than the one before."""
    queues = []
    ticks = itertools.count(1_000)
    for names in waiting:
        queue = MemoryQueue(clock_ms=lambda: next(ticks))
        for name in names:
            await queue.submit(submission(name))
        queues.append(queue)
    return generations_in(*queues)


def generations_in(*queues: MemoryQueue) -> Generations:
    """Over queues of several models."""
    catalogue = Catalogue(
        [
            Route(
                replace(NANO, name=f"model-{number}"),
                queue,
                LogReader(queue, grace_seconds=5),
                LiveWorkers(queue),
            )
            for number, queue in enumerate(queues)
        ]
    )
    media = MemoryMediaStore()
    return Generations(catalogue, Intake(catalogue, media, LIMITS), OpenCalls(9), Eraser(media))


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


@pytest.mark.parametrize("reads", [0, 1])
async def test_no_part_of_an_answer_is_given_when_it_is_deleted_meanwhile(
    reads: int,
) -> None:
    name = new_generation_id(0)
    queue = DeletedMeanwhile(name, reads)
    await queue.submit(submission(name))
    (claimed,) = (await queue.claim(claim())).claimed
    for offset in range(ENTRIES_PER_PAGE):
        await queue.write([append(claimed, offset)])
    await queue.write([finish(claimed, ENTRIES_PER_PAGE)])

    with pytest.raises(GenerationNotFoundError):
        await generations_in(queue).get(
            pb.GetGenerationRequest(generation_id=name), FakeCall(TENANT)
        )
