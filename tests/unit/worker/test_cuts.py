"""Answers that are cut at every id and continued: nothing tells them from undisturbed ones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from facet.api.v1 import event_pb2, generation_pb2
from facet.queue.values import Claim
from facet.worker.engine.port import Prompt, Step, TokenLogprob
from facet.worker.engine.simulated import SimulatedOptions
from facet.worker.run import Stop
from tests.unit.worker.cutting import RICH, begun_run, content, finished_run, resumed_run
from tests.unit.worker.scripted import (
    Bench,
    PacedEngine,
    assert_no_gap,
    claim,
    kinds_of,
    request,
    text_of,
)

pytestmark = pytest.mark.unit


class TellingEngine(PacedEngine):
    """Tells a log probability of each id, where they are asked for."""

    async def generate(
        self,
        generation_id: str,
        request: generation_pb2.GenerationRequest,
        prompt: Prompt,
        emitted: Sequence[int],
        candidate: int = 0,
    ) -> AsyncGenerator[Step, None]:
        """See `Engine.generate`."""
        at = len(emitted)
        async for step in super().generate(generation_id, request, prompt, emitted, candidate):
            told = tuple(
                TokenLogprob(token_id, f"<{token_id}>", -float(at + number), ())
                for number, token_id in enumerate(step.token_ids)
            )
            at += len(told)
            asked = request.generation_config.response_logprobs
            yield replace(step, logprobs=told) if asked else step


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(TellingEngine())
    yield bench
    await bench.close()


async def assert_cuts_leave_no_trace(
    bench: Bench, made: generation_pb2.GenerationRequest, name: str = "g"
) -> list[event_pb2.Event]:
    """The log of an undisturbed run; after every cut, the next attempt makes the same of it."""
    whole = await finished_run(bench, f"{name}-whole", made)
    assert not whole[-1].finished.HasField("failure")
    for cut in range(1, whole[-1].token_end):
        events = await resumed_run(bench, f"{name}-{cut}", made, cut)
        assert_no_gap(events)
        assert kinds_of(events).count("resumed") == 1
        assert content(events) == content(whole)
        assert logprobs_of(events) == logprobs_of(whole)
        assert account_of(events[-1], attempts=2) == account_of(whole[-1], attempts=1)
    return whole


def account_of(last: event_pb2.Event, *, attempts: int) -> tuple[Any, ...]:
    """How an answer ended and what it cost."""
    finished = last.finished
    assert finished.timings.attempts == attempts
    usage = generation_pb2.UsageMetadata()
    usage.CopyFrom(finished.usage)
    # The first step of an attempt is not drafted.
    usage.drafted_token_count += attempts * SimulatedOptions().draft_tokens
    return finished.finish_reason, finished.stop_sequence, usage


def logprobs_of(events: Sequence[event_pb2.Event]) -> list[tuple[int, str, float]]:
    """Those of all ids, each in the event that accounts for its id."""
    for event in events:
        count = len(event.logprobs.tokens)
        assert count in (0, event.token_end - event.token_start)
    tokens = (token for event in events for token in event.logprobs.tokens)
    return [(token.token_id, token.token, token.logprob) for token in tokens]


async def test_the_answer_is_that_of_an_undisturbed_run_when_cut_at_any_id(bench: Bench) -> None:
    whole = await assert_cuts_leave_no_trace(bench, RICH)
    assert any(event.HasField("withheld") for event in whole), "half characters are to be cut"
    assert {"thought_delta", "text_delta", "function_call"} <= {
        event.WhichOneof("kind") for event in whole
    }
    assert whole[-1].finished.usage.thoughts_token_count > 0


async def test_each_id_has_its_log_probability_when_cut_at_any_id(bench: Bench) -> None:
    config = {"responseLogprobs": True, "thinking": {"enabled": True, "includeThoughts": True}}
    whole = await assert_cuts_leave_no_trace(bench, request(generationConfig=config))
    told = logprobs_of(whole)
    assert [logprob for _, _, logprob in told] == [-float(at) for at in range(len(told))]
    assert len(told) == whole[-1].token_end


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        ({"maxOutputTokens": 20}, generation_pb2.FINISH_REASON_MAX_TOKENS),
        ({"minOutputTokens": 90}, generation_pb2.FINISH_REASON_STOP),
        (
            {"minOutputTokens": 70, "maxOutputTokens": 70},
            generation_pb2.FINISH_REASON_MAX_TOKENS,
        ),
    ],
)
async def test_budgets_count_from_the_beginning_when_cut_at_any_id(
    bench: Bench, budget: dict[str, int], reason: int, thinking: bool
) -> None:
    config = {**budget, "thinking": {"enabled": thinking, "includeThoughts": True}}
    whole = await assert_cuts_leave_no_trace(bench, request(generationConfig=config))
    assert whole[-1].finished.finish_reason == reason
    made = whole[-1].token_end
    assert budget.get("minOutputTokens", 0) <= made <= budget.get("maxOutputTokens", made)


async def test_the_answer_ends_in_front_of_a_stop_sequence_when_cut_inside_of_it(
    bench: Bench,
) -> None:
    whole = text_of(await finished_run(bench, "whole", request()))
    stop = whole[9:15]
    made = request(generationConfig={"stopSequences": [stop]})
    stopped = await assert_cuts_leave_no_trace(bench, made)
    assert text_of(stopped) == whole[: whole.index(stop)]
    assert stopped[-1].finished.stop_sequence == stop
    assert stopped[-1].finished.finish_reason == generation_pb2.FINISH_REASON_STOP


async def test_a_stop_sequence_counts_from_the_minimum_on_when_cut_at_any_id(bench: Bench) -> None:
    whole = text_of(await finished_run(bench, "whole", request()))
    config = {"stopSequences": [whole[3:5]], "minOutputTokens": 12}
    stopped = await assert_cuts_leave_no_trace(bench, request(generationConfig=config))
    assert text_of(stopped).startswith(whole[:5])
    assert stopped[-1].token_end >= 12


async def test_the_engine_that_began_is_waited_for_when_another_kind_asks(bench: Bench) -> None:
    begun = await begun_run(bench, "g", request(), 5)
    begun.run.stop(Stop.HAND_BACK)
    await begun.task
    await bench.queue.hand_back([begun.run.claimed.lease])
    other = await bench.queue.claim(Claim("other", "n", 1, 0, "simulated-2"))
    assert other.claimed == ()
    own = await claim(bench.queue, "m")
    assert len(own.token_ids) == 5
