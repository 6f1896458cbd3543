"""Several candidates of one request: interleaved, cut, continued, restarted, failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from facet.api.v1 import error_pb2, event_pb2, generation_pb2
from facet.core.errors import EngineFailedError
from facet.queue.id_words import count_ids, logged_ids
from facet.worker.run import Run, Stop
from tests.unit.worker.scripted import (
    TENANT,
    Bench,
    claim,
    envelope,
    events_of,
    kinds_of,
    request,
    submit,
    text_of,
    until,
)
from tests.unit.worker.turns import TurnEngine, answers_of

pytestmark = pytest.mark.unit

PENALTY = {"presencePenalty": 1.0}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(TurnEngine())
    yield bench
    await bench.close()


def engine_of(bench: Bench) -> TurnEngine:
    assert isinstance(bench.engine, TurnEngine)
    return bench.engine


def several(count: int = 2, config: dict[str, Any] | None = None, **fields: object) -> Any:
    config = {"candidateCount": count, **(config or {})}
    return request("hello", generationConfig=config, **fields)


RICH = several(
    config={"thinking": {"enabled": True, "includeThoughts": True}},
    tools=[{"functionDeclarations": [{"name": "look_up"}]}],
)


async def begun(bench: Bench, name: str, made: generation_pb2.GenerationRequest) -> Run:
    data = envelope(name, made)
    data.version = 2
    await submit(bench.queue, name, data.SerializeToString())
    return bench.run(await claim(bench.queue, f"first-{name}"))


async def finished_run(
    bench: Bench, name: str, made: generation_pb2.GenerationRequest
) -> list[event_pb2.Event]:
    engine_of(bench).plan = None
    await asyncio.wait_for((await begun(bench, name, made)).execute(), 10)
    return await events_of(bench.queue, name)


async def cut_run(
    bench: Bench, name: str, made: generation_pb2.GenerationRequest, plan: list[int]
) -> Run:
    """A first run that is handed back behind the planned steps, and the run that is to follow."""
    engine = engine_of(bench)
    engine.plan = list(plan)
    run = await begun(bench, name, made)
    task = asyncio.create_task(run.execute())
    await until(lambda: engine.is_waiting, 10)
    run.stop(Stop.HAND_BACK)
    await asyncio.wait_for(task, 10)
    await bench.queue.hand_back([run.claimed.lease])
    engine.plan, engine.began, engine.aborted = None, [], []
    return bench.run(await claim(bench.queue, f"then-{name}"))


async def resumed_run(
    bench: Bench, name: str, made: generation_pb2.GenerationRequest, plan: list[int]
) -> list[event_pb2.Event]:
    second = await cut_run(bench, name, made, plan)
    await asyncio.wait_for(second.execute(), 10)
    return await events_of(bench.queue, name)


async def test_the_log_has_one_end_and_each_candidate_its_own(bench: Bench) -> None:
    events = await finished_run(bench, "g", RICH)
    answers = answers_of(events, 2)
    kinds = kinds_of(events)
    assert kinds[0] == "started"
    assert kinds[-2:] == ["candidate_finished", "finished"]
    assert [kinds.count(kind) for kind in ("candidate_finished", "finished")] == [2, 1]
    assert answers[0].text != answers[1].text
    assert {answer.reason for answer in answers} == {generation_pb2.FINISH_REASON_TOOL_CALLS}
    finished = events[-1].finished
    total = sum(answer.tokens for answer in answers)
    usage = finished.usage
    assert events[-1].token_start == events[-1].token_end == total
    assert usage.candidates_token_count + usage.thoughts_token_count == total
    assert usage.total_token_count == usage.prompt_token_count + total
    assert usage.prompt_token_count == events[0].started.prompt_token_count
    assert finished.finish_reason == answers[0].reason


async def test_the_first_candidate_says_what_it_says_alone(bench: Bench) -> None:
    (first, _, third) = answers_of(await finished_run(bench, "g", several(3)), 3)
    assert first.text == text_of(await finished_run(bench, "alone", request()))
    assert third.text == answers_of(await finished_run(bench, "h", several(4)), 4)[2].text


async def test_events_alternate_when_the_steps_do(bench: Bench) -> None:
    second = await cut_run(bench, "g", several(3), [0, 2, 2, 0, 1])
    events = await events_of(bench.queue, "g")
    assert [event.candidate_index for event in events[1:]] == [0, 2, 2, 0, 1]
    logged = logged_ids(second.claimed.token_ids, 3)
    assert [len(each.ids) for each in logged] == [2, 1, 2]


async def test_answers_are_those_of_an_undisturbed_run_when_cut_at_every_step(
    bench: Bench,
) -> None:
    whole = answers_of(await finished_run(bench, "whole", RICH), 2)
    short, long = sorted((0, 1), key=lambda index: whole[index].tokens)
    steps = [whole[short].tokens, whole[long].tokens]
    # In turns as long as both go on; then the longer one alone.
    plan = [short, long] * steps[0] + [long] * (steps[1] - steps[0])
    for cut in range(1, len(plan)):
        events = await resumed_run(bench, f"cut-{cut}", RICH, plan[:cut])
        assert answers_of(events, 2) == whole
        kinds = kinds_of(events)
        assert [kinds.count(kind) for kind in ("resumed", "candidate_finished")] == [1, 2]
        is_short_over = plan[:cut].count(short) == steps[0]
        assert (short in dict(engine_of(bench).began)) is not is_short_over
        usage = events[-1].finished.usage
        assert usage.candidates_token_count + usage.thoughts_token_count == sum(steps)


async def test_each_goes_on_where_it_stood_when_some_had_ended_and_some_not_begun(
    bench: Bench,
) -> None:
    made = several(3, {"maxOutputTokens": 6})
    whole = answers_of(await finished_run(bench, "whole", made), 3)
    assert {answer.reason for answer in whole} == {generation_pb2.FINISH_REASON_MAX_TOKENS}
    events = await resumed_run(bench, "g", made, [1] * 6 + [0] * 2)
    assert sorted(engine_of(bench).began) == [(0, 2), (2, 0)]
    assert answers_of(events, 3) == whole


async def test_answers_end_before_a_stop_sequence_when_cut_inside_of_it(bench: Bench) -> None:
    free = answers_of(await finished_run(bench, "free", several()), 2)
    stop = free[1].text[9:15]
    made = several(config={"stopSequences": [stop]})
    whole = answers_of(await finished_run(bench, "whole", made), 2)
    assert (whole[1].text, whole[1].stop_sequence) == (
        free[1].text[: free[1].text.index(stop)],
        stop,
    )
    assert whole[0] == free[0]
    for cut in range(1, whole[1].tokens + 1):
        events = await resumed_run(bench, f"cut-{cut}", made, [1] * cut + [0])
        assert answers_of(events, 2) == whole
        assert (1 in dict(engine_of(bench).began)) is (cut < whole[1].tokens)


async def test_all_candidates_start_over_when_the_client_accepts_that(bench: Bench) -> None:
    made = several(config={**PENALTY, "maxOutputTokens": 6}, acceptRestart=True)
    events = await resumed_run(bench, "g", made, [1] * 6 + [0] * 3)
    at = next(i for i, event in enumerate(events) if event.HasField("restarted"))
    assert [e.candidate_index for e in events[:at] if e.HasField("candidate_finished")] == [1]
    assert sorted(engine_of(bench).began) == [(0, 0), (1, 0)]
    after = [event_pb2.Event.FromString(event.SerializeToString()) for event in events[at + 1 :]]
    for event in after:
        event.offset -= at + 1
    whole = answers_of(await finished_run(bench, "whole", made), 2)
    assert answers_of(after, 2) == whole
    assert events[-1].token_end == sum(answer.tokens for answer in whole)


async def test_greedy_candidates_are_repeated_each_behind_its_own_ids(bench: Bench) -> None:
    made = several(3, {**PENALTY, "maxOutputTokens": 8, "temperature": 0})
    whole = answers_of(await finished_run(bench, "whole", made), 3)
    events = await resumed_run(bench, "g", made, [1] * 8 + [0] * 3)
    assert sorted(engine_of(bench).began) == [(0, 0), (2, 0)]
    assert answers_of(events, 3) == whole


async def test_the_request_is_unresumable_when_one_candidate_is(bench: Bench) -> None:
    events = await resumed_run(bench, "g", several(config=PENALTY), [1] * 2 + [0])
    assert events[-1].finished.failure.reason == error_pb2.ERROR_REASON_UNRESUMABLE
    assert events[-1].token_end == 3
    assert engine_of(bench).began == []


async def test_the_whole_request_fails_when_one_candidate_does(bench: Bench) -> None:
    engine = engine_of(bench)
    engine.plan, engine.errors = [0, 2, 1], {1: EngineFailedError("this one")}
    run = await begun(bench, "g", several(3))
    await asyncio.wait_for(run.execute(), 10)
    events = await events_of(bench.queue, "g")
    assert events[-1].finished.failure.reason == error_pb2.ERROR_REASON_ENGINE_FAILED
    assert events[-1].token_end == 2
    assert sorted(engine.aborted) == [0, 1, 2]
    assert engine.running() == 0


async def test_the_whole_request_stalls_when_one_candidate_makes_no_progress(bench: Bench) -> None:
    engine = engine_of(bench)
    engine.plan = [0]
    run = await begun(bench, "g", several())
    task = asyncio.create_task(run.execute())
    await until(lambda: run.idle_seconds() > 0.05, 5)
    engine.go_on([0] * 5)
    await until(lambda: engine.is_waiting, 5)
    # Candidate 0 went on meanwhile.
    assert run.idle_seconds() > 0.05
    run.stop(Stop.STALLED)
    await asyncio.wait_for(task, 10)
    failure = (await events_of(bench.queue, "g"))[-1].finished.failure
    assert failure.reason == error_pb2.ERROR_REASON_ENGINE_STALLED
    assert run.idle_seconds() == 0.0


async def test_candidates_run_one_after_another_when_there_is_one_seat(bench: Bench) -> None:
    whole = answers_of(await finished_run(bench, "whole", several(3)), 3)
    bench.place = replace(bench.place, slots=asyncio.Semaphore(1))
    events = await finished_run(bench, "g", several(3))
    order = [event.candidate_index for event in events if not event.HasField("finished")]
    assert order == sorted(order)
    assert answers_of(events, 3) == whole


async def test_words_of_the_store_are_plain_ids_when_there_is_one_candidate(bench: Bench) -> None:
    second = await cut_run(bench, "g", several(1), [0] * 4)
    words = second.claimed.token_ids
    assert count_ids(words) == len(words) == 4
    assert max(words) < 1 << 24
    assert "candidate_finished" not in kinds_of(await events_of(bench.queue, "g"))


async def test_the_stores_own_end_counts_the_ids_of_all_when_it_is_cancelled(bench: Bench) -> None:
    made = several(config={"maxOutputTokens": 4})
    second = await cut_run(bench, "g", made, [1] * 4 + [0] * 2)
    assert len(second.claimed.token_ids) == 7, "six ids and an end"
    await bench.queue.cancel("g", TENANT)
    last = (await events_of(bench.queue, "g"))[-1]
    assert (last.token_start, last.token_end) == (6, 6)
