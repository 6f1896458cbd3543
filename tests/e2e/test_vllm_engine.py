"""The vLLM adapter on the nano checkpoint: one engine for all of these tests."""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from facet.api.v1 import content_pb2, generation_pb2
from facet.core.errors import ContextExceededError, InvalidRequestError
from facet.core.models import NANO
from facet.worker.engine.port import (
    CallPiece,
    EngineFinish,
    EngineSettingsError,
    Medium,
    Piece,
    Step,
    TextPiece,
)
from tests.support.nano_engine import generate, ids_of, nano_engine
from tests.unit.worker.engine.test_decoding import joined, run
from tests.unit.worker.scripted import request, until
from tools.nano import media as files

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    # vLLM and what it imports warn about themselves.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(300),
]

IMAGE, AUDIO, VIDEO = (
    generation_pb2.MODALITY_IMAGE,
    generation_pb2.MODALITY_AUDIO,
    generation_pb2.MODALITY_VIDEO,
)
GREEDY = {"temperature": 0, "maxOutputTokens": 48, "minOutputTokens": 48}
TOOL = {
    "name": "set_timer",
    "description": "Sets a timer",
    "parameters": {"type": "object", "properties": {"minutes": {"type": "integer"}}},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Any]:
    async with nano_engine() as started:
        yield started


def medium(mime_type: str, data: bytes) -> Medium:
    return Medium(mime_type, hashlib.sha256(data).digest(), data)


def noise(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


def with_media(count: int, **config: object) -> generation_pb2.GenerationRequest:
    made = request("what is it", generationConfig={**GREEDY, **config})
    for _ in range(count):
        made.contents[0].parts.add(media=content_pb2.MediaReference(media_id="m"))
    return made


def metric_of_vllm(name: str) -> float:
    """The value of one of vLLM's own metrics; those of the scheduler are of its last step."""
    from prometheus_client import REGISTRY  # noqa: PLC0415

    samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return next((sample.value for sample in samples if sample.name == f"vllm:{name}"), 0.0)


def speculation() -> tuple[float, float]:
    """vLLM's own counters of drafted and accepted tokens."""
    return (
        metric_of_vllm("spec_decode_num_draft_tokens_total"),
        metric_of_vllm("spec_decode_num_accepted_tokens_total"),
    )


MEDIA = [
    (IMAGE, 66, medium("image/png", files.png_bytes(noise(1, 96, 96, 3)))),
    (AUDIO, 27, medium("audio/wav", files.wav_bytes(noise(2, 16_000) / np.float32(512)))),
    (VIDEO, 144, medium("video/mp4", files.mp4_bytes(noise(3, 16, 96, 96, 3)))),
]


@pytest.mark.parametrize(("modality", "tokens", "item"), MEDIA, ids=["image", "audio", "video"])
async def test_media_are_seen_and_counted_by_modality(
    engine: Any, modality: int, tokens: int, item: Medium
) -> None:
    made = with_media(1)
    prompt = await engine.render(made, [item], "tenant")
    assert prompt.modality_tokens[modality] == tokens
    assert sum(prompt.modality_tokens.values()) == prompt.token_count
    assert len(ids_of(await generate(engine, made, [item]))) == 48


async def test_the_answer_changes_with_the_medium_and_not_with_its_repetition(engine: Any) -> None:
    red, blue = (
        medium("image/png", files.png_bytes(np.full((96, 96, 3), colour, np.uint8)))
        for colour in ((220, 30, 30), (30, 40, 220))
    )
    first = await engine.render(with_media(1), [red], "tenant")
    other = await engine.render(with_media(1), [blue], "tenant")
    tenant = await engine.render(with_media(1), [red], "another")
    hashes = [p.engine_input["mm_hashes"]["image"][0] for p in (first, other, tenant)]
    assert len(set(hashes)) == 3
    salts = [p.engine_input["cache_salt"] for p in (first, tenant)]
    assert salts[0] != salts[1]
    answers = [ids_of(await generate(engine, with_media(1), [each])) for each in (red, red, blue)]
    assert answers[0] == answers[1] != answers[2]


async def test_continuation_is_exact_when_cut_at_any_of_these_ids(engine: Any) -> None:
    made = with_media(3)
    media = [item for _, _, item in MEDIA]
    whole = ids_of(await generate(engine, made, media))
    for cut in (1, 2, 7, 19, 33, 47):
        assert whole[:cut] + ids_of(await generate(engine, made, media, whole[:cut])) == whole
    (last,) = await generate(engine, made, media, whole)
    assert last == Step((), EngineFinish.LENGTH)


async def test_counts_equal_the_engines_own_when_requests_run_alone(engine: Any) -> None:
    drafted, accepted = speculation()
    steps: list[Step] = []
    for text in ("Count up to 25.", "How many legs has a spider?", "hello"):
        steps += await generate(engine, request(text, generationConfig={"temperature": 0}))
    drafted += sum(step.drafted_tokens for step in steps)
    accepted += sum(step.accepted_tokens for step in steps)
    await until(lambda: speculation() == (drafted, accepted), 5.0)
    assert sum(step.accepted_tokens for step in steps) > 0


async def test_the_engine_forgets_a_request_when_its_iterator_is_closed(engine: Any) -> None:
    made = request("hello", generationConfig={"maxOutputTokens": 2000, "minOutputTokens": 2000})
    prompt = await engine.render(made, [], "tenant")
    async with aclosing(engine.generate("aborted", made, prompt, ())) as steps:
        assert (await anext(steps)).token_ids
        assert engine.running() == 1
    assert engine.running() == 0
    assert engine._live.llm.output_processor.get_num_unfinished_requests() == 0


async def test_the_engine_core_stops_working_when_an_iterator_is_closed(engine: Any) -> None:
    """All seats are taken by requests that go on for long: the next one gets one by an abort."""
    made = request("hello", generationConfig={"maxOutputTokens": 2000, "minOutputTokens": 2000})
    prompt = await engine.render(made, [], "tenant")
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(
                aclosing(engine.generate(f"endless-{index}", made, prompt, ()))
            )
            for index in range(engine.capacity)
        ]
        for steps in running:
            await anext(steps)
        following = await stack.enter_async_context(
            aclosing(engine.generate("following", made, prompt, ()))
        )
        first = asyncio.ensure_future(anext(following))
        await until(lambda: metric_of_vllm("num_requests_waiting") == 1, 10.0)
        assert metric_of_vllm("num_requests_running") == engine.capacity
        assert not first.done()
        await running[0].aclose()
        assert (await asyncio.wait_for(first, 1.0)).token_ids
        await running[1].aclose()
        await until(lambda: metric_of_vllm("num_requests_running") == engine.capacity - 1, 1.0)
        # The others still go on: the seat was not given up by one that was complete.
        assert all([(await anext(steps)).finish is None for steps in (*running[2:], following)])


async def test_a_probe_gets_no_answer_when_the_engine_process_hangs(engine: Any) -> None:
    await asyncio.wait_for(engine.probe(), 10.0)
    children = multiprocessing.active_children()
    cores = [each.pid for each in children if each.pid and "EngineCore" in each.name]
    assert cores
    for core in cores:
        os.kill(core, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(engine.probe(), 1.0)
        await engine.check()
    finally:
        for core in cores:
            os.kill(core, signal.SIGCONT)
    await asyncio.wait_for(engine.probe(), 10.0)
    assert ids_of(await generate(engine, request("x", generationConfig=GREEDY)))


async def test_the_engine_refuses_to_start_when_two_large_media_do_not_fit_a_step(
    engine: Any,
) -> None:
    from facet.worker.engine.vllm_engine import VllmEngine  # noqa: PLC0415

    options = engine._options
    narrow = replace(options.plan, max_num_batched_tokens=2400)
    cramped = VllmEngine(replace(options, plan=narrow), NANO)
    with pytest.raises(EngineSettingsError, match=r"2400.*video.*1248.*2496"):
        await cramped.start()
    await cramped.stop()


SAMPLES = [
    "plain answer",
    "<|channel>thought\nlet me see: a, b<channel|>the answer: {x}",
    "<|tool_call>call:set_timer{minutes:5}<tool_call|>",
    "<|channel>thought\nneed it<channel|><|tool_call>call:set_timer{minutes:5}<tool_call|>"
    "<|tool_call>call:set_timer{minutes:7}<tool_call|>",
    '<|tool_call>call:note{text:<|"|>a, {b}: é 😀<|"|>,deep:{list:[1,<|"|>x<|"|>]}}<tool_call|>',
    "naïve 😀 text with call: and { braces }",
    "",
]


@pytest.mark.parametrize("sample", SAMPLES)
async def test_pieces_equal_vllms_own_parse_when_ids_come_one_by_one(
    engine: Any, sample: str
) -> None:
    from vllm.entrypoints.openai.chat_completion.protocol import (  # noqa: PLC0415
        ChatCompletionRequest,
    )
    from vllm.parser.gemma4 import Gemma4Parser  # noqa: PLC0415

    made = request(
        "hi",
        generationConfig={"thinking": {"enabled": True}},
        tools=[{"functionDeclarations": [TOOL]}],
    )
    prompt = await engine.render(made, [], "tenant")
    tokenizer = engine._live.llm.renderer.get_tokenizer()
    ids = tokenizer.encode(sample, add_special_tokens=False)
    pieces = joined(run(engine.decoder(made, prompt), ids))

    asked = ChatCompletionRequest(messages=[], tools=[{"type": "function", "function": TOOL}])
    parser = Gemma4Parser(tokenizer, asked.tools, chat_template_kwargs={"enable_thinking": True})
    thoughts, text, calls = parser.parse(
        tokenizer.decode(ids, skip_special_tokens=False), asked, model_output_token_ids=ids
    )
    assert _split(pieces) == (
        thoughts or "",
        text or "",
        [(call.name, call.arguments) for call in calls or []],
    )
    assert [p.call_id for p in pieces if isinstance(p, CallPiece)] == [
        f"call-{index}" for index in range(len(calls or []))
    ]


def _split(pieces: Sequence[Piece]) -> tuple[str, str, list[tuple[str, str]]]:
    calls = [(p.name, p.arguments) for p in pieces if isinstance(p, CallPiece)]
    text = "".join(p.text for p in pieces if isinstance(p, TextPiece))
    rest = [p for p in pieces if not isinstance(p, CallPiece | TextPiece)]
    return "".join(p.text for p in rest), text, calls


async def test_a_call_is_dropped_when_the_limit_cut_it(engine: Any) -> None:
    made = request("hi", tools=[{"functionDeclarations": [TOOL]}])
    prompt = await engine.render(made, [], "tenant")
    tokenizer = engine._live.llm.renderer.get_tokenizer()
    ids = tokenizer.encode("<|tool_call>call:set_timer{minutes:5", add_special_tokens=False)
    assert joined(run(engine.decoder(made, prompt), ids)) == []


async def test_the_prompt_is_the_published_format_when_tools_are_answered(engine: Any) -> None:
    made = request("time?", tools=[{"functionDeclarations": [TOOL]}])
    model = made.contents.add(role=content_pb2.ROLE_MODEL)
    model.parts.add().function_call.name = "set_timer"
    model.parts[0].function_call.args["minutes"] = 5
    answer = made.contents.add().parts.add().function_response
    answer.name = "set_timer"
    answer.response["value"] = "done"
    prompt = await engine.render(made, [], "tenant")
    text = prompt.engine_input["prompt"]
    assert text.startswith("<bos><|turn>system\n<|tool>declaration:set_timer{")
    assert "<|tool_call>call:set_timer{minutes:5}<tool_call|>" in text
    assert text.endswith('<|tool_response>response:set_timer{value:<|"|>done<|"|>}<tool_response|>')


@pytest.mark.parametrize(
    ("text", "config", "field"),
    [
        ("word " * 5000, {}, "request.contents"),
        ("word", {"maxOutputTokens": 4090}, "request.generation_config.max_output_tokens"),
    ],
)
async def test_the_field_is_named_when_the_context_is_exceeded(
    engine: Any, text: str, config: dict[str, object], field: str
) -> None:
    with pytest.raises(ContextExceededError) as caught:
        await engine.render(request(text, generationConfig=config), [], "tenant")
    assert caught.value.violations[0].field == field


async def test_bad_requests_are_refused_and_the_engine_lives_on(engine: Any) -> None:
    with pytest.raises(InvalidRequestError):
        await engine.render(with_media(5), [MEDIA[0][2]] * 5, "tenant")
    with pytest.raises(InvalidRequestError):
        await generate(engine, request("x", generationConfig={"temperature": -3}))
    await engine.check()
    assert ids_of(await generate(engine, request("x", generationConfig=GREEDY)))


@pytest.mark.parametrize(
    ("seed", "seeds"),
    [(None, [None, None]), (7, [7, 8]), (-1, [None, 0]), (2**63 - 1, [2**63 - 1, -(2**63)])],
)
def test_each_candidate_has_a_seed_of_its_own_when_one_is_given(
    engine: Any, seed: int | None, seeds: list[int | None]
) -> None:
    from facet.worker.engine.sampling import sampling_params  # noqa: PLC0415 - imports vLLM

    config = generation_pb2.GenerationConfig(seed=seed)
    made = [
        sampling_params(
            config, defaults={}, max_tokens=9, emitted=0, candidate=candidate, restores_state=True
        )
        for candidate in range(2)
    ]
    # vLLM takes -1 for no seed.
    assert [each.seed for each in made] == seeds
