"""The simulated engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from facet.api.v1 import content_pb2, generation_pb2
from facet.core.errors import ContextExceededError, EngineFailedError
from facet.core.models import NANO
from facet.worker.engine.port import EngineFinish, Medium, Step
from facet.worker.engine.simulated import SimulatedEngine, SimulatedOptions
from facet.worker.engine.simulated_vocabulary import CALL_END, END, THOUGHT_START

pytestmark = pytest.mark.unit

FAST = SimulatedOptions(step_ms=0, prefill_tokens_per_second=1e9)


def request(text: str = "hello", **config: object) -> generation_pb2.GenerationRequest:
    made = generation_pb2.GenerationRequest(
        generation_config=generation_pb2.GenerationConfig(**config)  # type: ignore[arg-type]
    )
    made.contents.add(role=content_pb2.ROLE_USER).parts.add(text=text)
    return made


async def steps(
    asked: generation_pb2.GenerationRequest,
    emitted: tuple[int, ...] = (),
    options: SimulatedOptions = FAST,
) -> list[Step]:
    engine = SimulatedEngine(options, NANO)
    prompt = await engine.render(asked, [], "tenant")
    async with aclosing(engine.generate("g", asked, prompt, emitted)) as made:
        return [step async for step in made]


def ids_of(made: list[Step]) -> tuple[int, ...]:
    return tuple(token_id for step in made for token_id in step.token_ids)


async def test_ids_are_the_same_when_run_again() -> None:
    assert ids_of(await steps(request())) == ids_of(await steps(request()))


async def test_continuation_equals_the_straight_run_when_cut_at_any_id() -> None:
    asked = request(thinking=generation_pb2.ThinkingConfig(enabled=True))
    asked.tools.add().function_declarations.add(name="look_up")
    whole = ids_of(await steps(asked))
    assert whole[0] == THOUGHT_START
    assert whole[-2:] == (CALL_END, END)
    for cut in range(len(whole) + 1):
        assert whole[:cut] + ids_of(await steps(asked, whole[:cut])) == whole


async def test_ids_differ_when_an_earlier_id_is_left_out() -> None:
    whole = ids_of(await steps(request()))
    assert ids_of(await steps(request(), ()))[:8] == whole[:8]
    assert ids_of(await steps(request("hello!")))[:8] != whole[:8]


async def test_no_end_comes_before_the_minimum_when_one_is_set() -> None:
    for minimum in (1, 60, 200):
        whole = ids_of(await steps(request(min_output_tokens=minimum)))
        assert whole.index(END) == len(whole) - 1 >= minimum
    assert ids_of(await steps(request(min_output_tokens=1))) == ids_of(await steps(request()))


async def test_minimum_and_limit_meet_when_they_are_equal() -> None:
    made = await steps(request(min_output_tokens=90, max_output_tokens=90))
    assert len(ids_of(made)) == 90
    assert made[-1].finish is EngineFinish.LENGTH


async def test_continuation_is_exact_when_a_minimum_is_set() -> None:
    asked = request(min_output_tokens=150, thinking=generation_pb2.ThinkingConfig(enabled=True))
    asked.tools.add().function_declarations.add(name="look_up")
    whole = ids_of(await steps(asked))
    assert whole[0] == THOUGHT_START
    assert whole[-2:] == (CALL_END, END)
    for cut in range(len(whole) + 1):
        assert whole[:cut] + ids_of(await steps(asked, whole[:cut])) == whole


async def test_nothing_moves_any_more_when_a_prompt_asks_to_hang_the_engine() -> None:
    engine = SimulatedEngine(FAST, NANO)
    await asyncio.wait_for(engine.probe(), 5)
    asked = request("[[hang@2]]")
    prompt = await engine.render(asked, [], "tenant")
    seen: list[int] = []

    async def collect(made: AsyncGenerator[Step, None]) -> None:
        async with aclosing(made):
            async for step in made:
                seen.extend(step.token_ids)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(collect(engine.generate("g", asked, prompt, ())), 0.1)
    assert len(seen) == 2
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(collect(engine.generate("h", request(), prompt, ())), 0.1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(engine.probe(), 0.1)
    assert len(seen) == 2


async def test_generation_ends_at_the_limit_when_one_is_set() -> None:
    made = await steps(request(max_output_tokens=7))
    assert len(ids_of(made)) == 7
    assert made[-1].finish is EngineFinish.LENGTH


async def test_the_limit_counts_from_the_beginning_when_continued() -> None:
    first = ids_of(await steps(request(max_output_tokens=4)))
    made = await steps(request(max_output_tokens=7), first)
    assert len(ids_of(made)) == 3


async def test_steps_bring_one_id_more_than_accepted() -> None:
    made = await steps(request(max_output_tokens=60))
    assert made[0].drafted_tokens == 0
    assert all(len(step.token_ids) == 1 + step.accepted_tokens for step in made)
    assert sum(step.accepted_tokens for step in made) > 0


async def test_nothing_is_accepted_when_the_rate_is_zero() -> None:
    options = SimulatedOptions(step_ms=0, prefill_tokens_per_second=1e9, acceptance_rate=0)
    assert all(len(step.token_ids) == 1 for step in await steps(request(), options=options))


async def test_ids_before_the_fault_are_delivered_when_a_prompt_asks_to_fail() -> None:
    engine = SimulatedEngine(FAST, NANO)
    asked = request("[[fail@5]]")
    prompt = await engine.render(asked, [], "tenant")
    seen: list[int] = []

    async def collect() -> None:
        async with aclosing(engine.generate("g", asked, prompt, ())) as made:
            async for step in made:
                seen.extend(step.token_ids)

    with pytest.raises(EngineFailedError):
        await collect()
    assert len(seen) == 5
    assert engine.running() == 0


async def test_media_count_by_modality_when_rendered() -> None:
    asked = request()
    asked.contents[0].parts.add(media=content_pb2.MediaReference(media_id="m"))
    engine = SimulatedEngine(FAST, NANO)
    prompt = await engine.render(asked, [Medium("image/png", bytes(32), b"")], "tenant")
    assert prompt.modality_tokens[generation_pb2.MODALITY_IMAGE] == 70
    assert sum(prompt.modality_tokens.values()) == prompt.token_count


@pytest.mark.parametrize(
    ("text", "limit", "field"),
    [
        ("x" * NANO.context_tokens, 1, "request.contents"),
        ("x", NANO.context_tokens, "request.generation_config.max_output_tokens"),
    ],
)
async def test_the_field_is_named_when_the_context_is_exceeded(
    text: str, limit: int, field: str
) -> None:
    engine = SimulatedEngine(FAST, NANO)
    with pytest.raises(ContextExceededError) as caught:
        await engine.render(request(text, max_output_tokens=limit), [], "tenant")
    assert caught.value.violations[0].field == field
