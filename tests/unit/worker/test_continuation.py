"""What becomes of an answer that cannot be continued exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import pytest

from facet.api.v1 import error_pb2, event_pb2
from facet.core.errors import UnresumableError
from facet.worker.continuation import behind
from facet.worker.engine.port import EngineFinish, Step
from facet.worker.run import Stop
from tests.unit.worker.scripted import (
    Bench,
    PacedEngine,
    assert_no_gap,
    claim,
    envelope,
    events_of,
    kinds_of,
    request,
    submit,
    text_of,
)

pytestmark = pytest.mark.unit

CUT = 9
# The simulated engine plays those that it cannot continue on requests with a penalty.
PENALTY = {"presencePenalty": 1.0}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.close()


async def answered_after_a_cut(bench: Bench, **fields: Any) -> list[event_pb2.Event]:
    """The log of a request whose first worker made CUT ids, and whose second went on."""
    engine = bench.engine
    assert isinstance(engine, PacedEngine)
    made = request("hello", **fields)
    await submit(bench.queue, "g", envelope("g", made).SerializeToString())
    engine.allow(CUT)
    first = bench.run(await claim(bench.queue, "n-1"))
    running = asyncio.create_task(first.execute())
    await asyncio.wait_for(engine.starved.wait(), 5)
    first.stop(Stop.HAND_BACK)
    await running
    await bench.queue.hand_back([first.claimed.lease])
    engine.allow(1_000)
    second = bench.run(await claim(bench.queue, "n-2"))
    assert len(second.claimed.token_ids) == CUT
    await asyncio.wait_for(second.execute(), 5)
    return await events_of(bench.queue, "g")


async def whole_answer(**fields: Any) -> str:
    bench = Bench()
    try:
        assert isinstance(bench.engine, PacedEngine)
        made = request("hello", **fields)
        await submit(bench.queue, "g", envelope("g", made).SerializeToString())
        bench.engine.allow(1_000)
        await bench.run(await claim(bench.queue, "n")).execute()
        return text_of(await events_of(bench.queue, "g"))
    finally:
        await bench.close()


async def test_answer_starts_over_when_the_client_accepts_that(bench: Bench) -> None:
    fields = {"generationConfig": PENALTY, "acceptRestart": True}
    events = await answered_after_a_cut(bench, **fields)
    assert kinds_of(events) == ["started", "restarted", "finished"]
    at = next(i for i, event in enumerate(events) if event.HasField("restarted"))
    assert [event.offset for event in events] == list(range(len(events)))
    assert events[at + 1].token_start == 0
    assert text_of(events[at:]) == await whole_answer(**fields)
    assert events[-1].finished.usage.candidates_token_count == events[-1].token_end
    # A third worker would go on from the new ids alone.
    assert events[-1].token_end > 0


async def test_greedy_answer_goes_on_when_its_repeat_is_the_same(bench: Bench) -> None:
    fields = {"generationConfig": PENALTY | {"temperature": 0}}
    events = await answered_after_a_cut(bench, **fields)
    assert kinds_of(events) == ["started", "resumed", "finished"]
    assert_no_gap(events)
    assert text_of(events) == await whole_answer(**fields)


async def test_answer_is_unresumable_when_nothing_else_is_left(bench: Bench) -> None:
    events = await answered_after_a_cut(bench, generationConfig=PENALTY)
    assert events[-1].finished.failure.reason == error_pb2.ERROR_REASON_UNRESUMABLE
    assert_no_gap(events[:-1])


async def steps(*made: Step) -> AsyncGenerator[Step, None]:
    for step in made:
        yield step


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ([Step((1,)), Step((2, 3, 4))], [(3, 4)]),
        ([Step((1, 2)), Step((3,), EngineFinish.STOP)], [(3,)]),
        ([Step((1, 2), EngineFinish.LENGTH)], [()]),
    ],
)
async def test_only_what_is_new_comes_when_an_answer_is_repeated(
    made: Sequence[Step], expected: list[tuple[int, ...]]
) -> None:
    assert [step.token_ids async for step in behind(steps(*made), (1, 2))] == expected


@pytest.mark.parametrize(
    "made",
    [[Step((1, 9))], [Step((1,)), Step((9,))], [Step((1,), EngineFinish.STOP)]],
)
async def test_repeat_is_refused_when_it_comes_out_otherwise(made: Sequence[Step]) -> None:
    with pytest.raises(UnresumableError):
        assert [step async for step in behind(steps(*made), (1, 2))] == []


async def test_the_engine_has_let_go_when_a_repeated_answer_is_closed() -> None:
    ended: list[str] = []

    async def engine() -> AsyncGenerator[Step, None]:
        try:
            yield Step((1,))
            yield Step((2,))
        finally:
            await asyncio.sleep(0)
            ended.append("engine")

    repeated = behind(engine(), ())
    await anext(repeated)
    await repeated.aclose()
    assert ended == ["engine"]
