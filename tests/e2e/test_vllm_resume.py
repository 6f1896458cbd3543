"""Continuations of requests whose state in vLLM is more than their ids, on the nano checkpoint."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from facet.core.errors import EngineFailedError, UnresumableError
from facet.worker.engine.port import Step
from tests.support.nano_engine import generate, ids_of, nano_engine
from tests.unit.worker.scripted import request

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    # vLLM and what it imports warn about themselves.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(300),
]

Config = dict[str, Any]

APPLES = "Say apple 9 times."
LONG = {"temperature": 0, "maxOutputTokens": 44, "minOutputTokens": 40}
SHORT = {"temperature": 0, "maxOutputTokens": 40}
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "tags": {"type": "array", "items": {"enum": ["red", "blue"]}, "maxItems": 3},
    },
    "required": ["name", "tags"],
    "additionalProperties": False,
}
REGEX = "([0-9] (apple|river), ){7}end"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Any]:
    async with nano_engine() as started:
        yield started


async def answer(engine: Any, text: str, config: Config, emitted: Sequence[int] = ()) -> list[Step]:
    return await generate(engine, request(text, generationConfig=config), (), tuple(emitted))


async def wrong_cuts(engine: Any, text: str, config: Config, whole: Sequence[int]) -> list[int]:
    """Cuts after which another output follows; all are asked for at once and share batches."""
    cuts = range(1, len(whole), 3)
    answers = (answer(engine, text, config, whole[:cut]) for cut in cuts)
    rests = [ids_of(steps) for steps in await asyncio.gather(*answers)]
    return [
        cut for cut, rest in zip(cuts, rests, strict=True) if (*whole[:cut], *rest) != tuple(whole)
    ]


STATEFUL = {
    "presence": (APPLES, {**LONG, "presencePenalty": 2}),
    "frequency": (APPLES, {**LONG, "frequencyPenalty": 1.5}),
    "json": ("hello", {**SHORT, "responseJsonSchema": SCHEMA, "frequencyPenalty": 1.5}),
    "regex": (APPLES, {**SHORT, "responseRegex": REGEX}),
    "grammar": (APPLES, {**SHORT, "responseGrammar": 'root ::= "(" [a-z]* ")" | "[" root "]"'}),
    "choice": ("hello", {**SHORT, "responseChoice": {"choices": ["river stone", "river apple"]}}),
}


@pytest.mark.parametrize(("text", "config"), STATEFUL.values(), ids=STATEFUL)
async def test_continuation_is_exact_when_state_beside_the_ids_changes_the_output(
    engine: Any, text: str, config: Config
) -> None:
    whole = ids_of(await answer(engine, text, config))
    free = {name: value for name, value in config.items() if name in LONG}
    assert ids_of(await answer(engine, text, free)) != whole
    assert await wrong_cuts(engine, text, config, whole) == []


async def test_a_constrained_answer_is_whole_when_it_was_continued(engine: Any) -> None:
    config = {**SHORT, "responseRegex": REGEX}
    whole = ids_of(await answer(engine, APPLES, config))
    rest = await answer(engine, APPLES, config, whole[:9])
    text = engine._live.llm.renderer.get_tokenizer().decode((*whole[:9], *ids_of(rest)))
    assert re.fullmatch(REGEX + "<turn\\|>", text)
    assert sum(step.accepted_tokens for step in rest) > 0


async def test_a_request_fails_alone_when_its_grammar_does_not_accept_the_emitted_ids(
    engine: Any,
) -> None:
    emitted = engine._live.llm.renderer.get_tokenizer().encode("apple", add_special_tokens=False)
    with pytest.raises(EngineFailedError):
        await answer(engine, "hello", {**SHORT, "responseRegex": "[0-9]{4}"}, emitted)
    await engine.check()
    assert ids_of(await answer(engine, "hello", SHORT))


@pytest.mark.parametrize("config", [{"presencePenalty": 1}, {"responseRegex": "[a-z]+"}], ids=str)
async def test_a_continuation_is_refused_when_the_engine_cannot_restore_state(
    engine: Any, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_loaded", replace(engine._loaded, restores_state=False))
    with pytest.raises(UnresumableError):
        await answer(engine, "hello", {**SHORT, **config}, (300,))
    assert ids_of(await answer(engine, "hello", {**SHORT, **config}))
    assert ids_of(await answer(engine, "hello", SHORT, (300,)))


@pytest.mark.parametrize("difference", ["version", "parameters", "methods", "attributes"])
def test_the_engine_is_left_as_it_is_when_vllm_is_another(
    engine: Any, difference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm.v1.core.sched.scheduler import Scheduler  # noqa: PLC0415

    from facet.worker.engine import vllm_resume  # noqa: PLC0415

    if difference == "version":
        monkeypatch.setattr("vllm.__version__", "0.32.1")
    elif difference == "parameters":
        changed = {(Scheduler, "add_request"): ("self", "requests")}
        monkeypatch.setattr(vllm_resume, "_PARAMETERS", changed)
    elif difference == "methods":
        changed = {(Scheduler, "admit_request"): ("self", "request")}
        monkeypatch.setattr(vllm_resume, "_PARAMETERS", changed)
    else:
        monkeypatch.setattr(vllm_resume, "_ATTRIBUTES", {"output_ids"})
    config = SimpleNamespace()
    assert not vllm_resume.prepare(config)
    assert config == SimpleNamespace()


@pytest.mark.parametrize("runner", ["V1", "V2"])
def test_the_runner_is_told_all_ids_when_a_request_begins_with_output(
    engine: Any, runner: str
) -> None:
    """Runner V2, which needs a GPU, gets what it gets of a request that vLLM preempted."""
    from vllm.sampling_params import SamplingParams  # noqa: PLC0415
    from vllm.v1.core.sched.output import NewRequestData  # noqa: PLC0415
    from vllm.v1.request import Request  # noqa: PLC0415

    from facet.worker.engine.vllm_resume import EMITTED, _Resuming  # noqa: PLC0415

    class Base:
        def __init__(self) -> None:
            self.requests: dict[str, Any] = {}

        def add_request(self, request: Any) -> None:
            self.requests[request.request_id] = request

        def schedule(self) -> Any:
            made = self.requests["r"]
            ids = (made._all_token_ids,) if runner == "V2" else ()
            return SimpleNamespace(scheduled_new_reqs=[NewRequestData.from_request(made, (), *ids)])

    class Scheduler(_Resuming, Base): ...

    scheduler = Scheduler()
    params = SamplingParams(extra_args={EMITTED: 2})
    scheduler.add_request(Request("r", [1, 2, 3, 4, 5], params, None))
    request_of_vllm = scheduler.requests["r"]
    assert (request_of_vllm.num_prompt_tokens, request_of_vllm.num_output_tokens) == (3, 2)
    (data,) = scheduler.schedule().scheduled_new_reqs
    if runner == "V2":
        assert (data.prompt_token_ids, data.prefill_token_ids) == ([1, 2, 3], [1, 2, 3, 4, 5])
    else:
        assert data.prompt_token_ids == [1, 2, 3, 4, 5]


async def test_log_probabilities_belong_to_the_ids_of_their_step_when_drafts_are_accepted(
    engine: Any,
) -> None:
    config = {**SHORT, "responseLogprobs": True, "logprobs": 3}
    steps = await answer(engine, "Repeat after me: 😀 river", config)
    assert max(len(step.token_ids) for step in steps) > 1
    tokenizer = engine._live.llm.renderer.get_tokenizer()
    for step in steps:
        assert tuple(each.token_id for each in step.logprobs) == step.token_ids
        for each in step.logprobs:
            assert each.token == tokenizer.decode([each.token_id])
            # Greedy: the chosen id is the best one.
            assert [each.top[0][0], each.top[0][2]] == [each.token_id, each.logprob]
            assert [logprob for _, _, logprob in each.top] == sorted(
                (logprob for _, _, logprob in each.top), reverse=True
            )
            assert len(each.top) == 3
    assert "\ufffd" in {each.token for step in steps for each in step.logprobs}


@pytest.mark.parametrize("penalty", [0, 2])
async def test_log_probabilities_go_on_when_the_output_was_cut(engine: Any, penalty: int) -> None:
    config = {**LONG, "responseLogprobs": True, "presencePenalty": penalty}
    steps = await answer(engine, APPLES, config)
    whole = [each for step in steps for each in step.logprobs]
    assert {each.top for each in whole} == {()}
    for cut in (1, 6, 30):
        rest = await answer(engine, APPLES, config, ids_of(steps)[:cut])
        found = [each for step in rest for each in step.logprobs]
        assert [each.token_id for each in found] == [each.token_id for each in whole[cut:]]
        assert [each.logprob for each in found] == pytest.approx(
            [each.logprob for each in whole[cut:]], abs=0.05
        )


async def test_no_log_probabilities_come_when_none_were_asked_for(engine: Any) -> None:
    assert {step.logprobs for step in await answer(engine, "hello", SHORT)} == {()}
