"""Several candidates from the SDK through gateway and store to worker processes, and back."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

import facet
from facet.client import CandidateFinished, FinishReason, Generation, Resumed, TextDelta
from facet.queue.id_words import MAX_CANDIDATES
from tests.integration.gateway.conftest import Bench, BenchMaker
from tests.integration.worker.worker_process import WorkerProcess, eventually, ready, workers
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

Start = Callable[..., WorkerProcess]
SLOW = {"simulated_step_ms": 40}


@pytest.fixture
def start_worker(tmp_path: Path, redis_server: RedisServer, benches: BenchMaker) -> Iterator[Start]:
    with workers(tmp_path, redis_server.url, benches.release) as start:
        yield start


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[facet.AsyncClient]:
    async with facet.AsyncClient(bench.address) as connected:
        yield connected


def texts(generation: Generation) -> list[str]:
    return [candidate.text for candidate in generation.candidates]


async def test_every_way_to_read_gives_the_same_answers_when_there_are_several(
    client: facet.AsyncClient, start_worker: Start
) -> None:
    await ready(start_worker())
    unary = await client.generate("a tale", candidate_count=3)
    async with client.stream("a tale", candidate_count=3) as stream:
        events = [event async for event in stream]
        streamed = await stream.result()
    stored = await client.get((await client.submit("a tale", candidate_count=3)).id, wait=20)
    attached = await client.attach(unary.id).result()

    assert len(set(texts(unary))) == 3
    assert [candidate.index for candidate in unary.candidates] == [0, 1, 2]
    assert {candidate.finish_reason for candidate in unary.candidates} == {FinishReason.STOP}
    assert stored.result is not None
    for other in (streamed, stored.result, attached):
        assert texts(other) == texts(unary)
        assert other.usage.output_tokens == unary.usage.output_tokens
    assert unary.usage.prompt_tokens == streamed.usage.prompt_tokens > 0
    ends = [event for event in events if isinstance(event, CandidateFinished)]
    assert sorted(end.candidate_index for end in ends) == [0, 1, 2]
    # Side by side: the first has not ended when the last begins.
    pieces = [event.candidate_index for event in events if isinstance(event, TextDelta)]
    assert pieces != sorted(pieces)


async def test_streams_go_on_exactly_when_the_worker_is_killed(
    client: facet.AsyncClient, start_worker: Start
) -> None:
    first = start_worker(**SLOW)
    await ready(first)
    undisturbed = await client.generate("a tale", candidate_count=2)
    got = ["", ""]
    resumed = 0
    async with client.stream("a tale", candidate_count=2) as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                got[event.candidate_index] += event.text
            resumed += isinstance(event, Resumed)
            if all(len(text) > 20 for text in got) and first.exit_code is None and not resumed:
                first.send(signal.SIGKILL)
                await eventually(lambda: _has_ended(first), 5)
                start_worker(**SLOW)
        result = await stream.result()

    assert resumed == 1
    assert got == texts(result) == texts(undisturbed)
    assert result.usage.output_tokens == undisturbed.usage.output_tokens
    assert result.timings.attempts == 2


async def _has_ended(worker: WorkerProcess) -> bool:
    return worker.exit_code is not None


@pytest.mark.parametrize("count", [0, MAX_CANDIDATES + 1])
async def test_the_field_is_named_when_the_count_is_out_of_bounds(
    client: facet.AsyncClient, count: int
) -> None:
    with pytest.raises(facet.FacetApiError) as caught:
        await client.generate("a tale", candidate_count=count)
    assert [each.field for each in caught.value.violations] == [
        "request.generation_config.candidate_count"
    ]


async def test_as_many_as_allowed_are_answered_by_a_worker_with_fewer_seats(
    client: facet.AsyncClient, start_worker: Start
) -> None:
    await ready(start_worker(max_sequences=2))
    answer = await client.generate("a tale", candidate_count=MAX_CANDIDATES)
    assert len(set(texts(answer))) == MAX_CANDIDATES
