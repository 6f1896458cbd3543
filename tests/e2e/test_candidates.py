"""Several candidates of real vLLM workers."""

from __future__ import annotations

import os
import signal

import pytest

import facet
from facet.client import GenerateOptions, Resumed, Started, TextDelta
from facet.queue.redis_queue import RedisQueue
from tests.support.conditions import until
from tests.support.examples import contents
from tests.support.running_node import RunningNode
from tools.nano.tasks import TASKS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TWO: GenerateOptions = {"candidate_count": 2}
LONG = "Repeat 🙂 10 times."


def _greedy(tokens: int) -> GenerateOptions:
    return {"temperature": 0.0, "min_output_tokens": tokens, "max_output_tokens": tokens}


async def test_greedy_candidates_say_what_one_says_alone(client: facet.AsyncClient) -> None:
    for prompt in ("Count to 5.", LONG):
        alone = await client.generate(prompt, temperature=0.0)
        several = await client.generate(prompt, temperature=0.0, candidate_count=3)
        assert [each.text for each in several.candidates] == [alone.text] * 3
        assert {each.finish_reason for each in several.candidates} == {alone.finish_reason}
        assert several.usage.output_tokens == 3 * alone.usage.output_tokens
        assert several.usage.prompt_tokens == alone.usage.prompt_tokens


async def test_candidates_call_functions_each_for_itself(client: facet.AsyncClient) -> None:
    weather = facet.function(
        "get_weather",
        description="Tells the weather of a city.",
        parameters={"type": "object", "properties": {"city": {"type": "string"}}},
    )
    options: GenerateOptions = {"tools": [weather], "temperature": 0.0}
    alone = await client.generate("How is the weather in Oslo?", **options)
    several = await client.generate("How is the weather in Oslo?", **options | TWO)
    for each in several.candidates:
        assert [(c.name, c.arguments) for c in each.function_calls] == [
            (c.name, c.arguments) for c in alone.function_calls
        ]
        assert (each.text, each.finish_reason) == (alone.text, alone.finish_reason)


async def test_candidates_see_the_same_image(client: facet.AsyncClient) -> None:
    example = TASKS["image"].example(1)
    alone = await client.generate(contents(example), temperature=0.0)
    several = await client.generate(contents(example), temperature=0.0, candidate_count=2)
    assert [each.text for each in several.candidates] == [alone.text] * 2
    assert several.usage.prompt_tokens_by_modality == alone.usage.prompt_tokens_by_modality


async def test_sampled_candidates_are_all_answered_when_there_is_a_seed(
    client: facet.AsyncClient,
) -> None:
    # The largest seed: the second candidate's lies beyond 64 bits.
    options: GenerateOptions = {"temperature": 1.5, "max_output_tokens": 12, "seed": 2**63 - 1}
    several = await client.generate("Tell me something.", **options | TWO)
    assert len(several.candidates) == 2
    assert 2 <= several.usage.output_tokens <= 24


@pytest.mark.parametrize("penalty", [0.0, 1.5])
async def test_each_candidate_goes_on_exactly_when_its_worker_is_killed(
    node: RunningNode, client: facet.AsyncClient, queue: RedisQueue, penalty: float
) -> None:
    options: GenerateOptions = _greedy(400) | TWO | {"frequency_penalty": penalty}
    undisturbed = await client.generate(LONG, **options)
    got, resumed, worker, killed = ["", ""], 0, "", False
    async with client.stream(LONG, **options) as stream:
        async for event in stream:
            worker = event.worker if isinstance(event, Started) else worker
            if isinstance(event, TextDelta):
                got[event.candidate_index] += event.text
            resumed += isinstance(event, Resumed)
            if min(map(len, got)) > 5 and not killed:
                killed = True
                os.kill(int(node.state(worker)["pid"]), signal.SIGKILL)
        result = await stream.result()

    assert killed
    assert resumed == 1
    assert got == [each.text for each in result.candidates]
    assert got == [each.text for each in undisturbed.candidates]
    assert got[0] == got[1]
    for usage in (result.usage, undisturbed.usage):
        assert usage.output_tokens + usage.thought_tokens == 800

    async def has_both() -> bool:
        return len(await queue.reports()) == 2

    await until(has_both, seconds=180)
