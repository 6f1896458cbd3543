"""The checker's own definition of the simulated engine's answer, compared with the engine's."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import pytest
from google.protobuf import json_format

from facet.api.v1 import event_pb2, generation_pb2
from facet.core.models import NANO
from facet.worker.engine.port import CallPiece, Decoded, EngineFinish, TextPiece, ThoughtPiece
from facet.worker.engine.simulated import SimulatedEngine, SimulatedOptions
from tests.chaos.expected import Answer, answers_of
from tests.chaos.load import Kind, Load

pytestmark = pytest.mark.unit

_REQUESTS = 300


async def _run(
    request: generation_pb2.GenerationRequest, candidate: int
) -> tuple[list[Decoded], int, str]:
    """What the engine's own decoder makes of the engine's own ids."""
    engine = SimulatedEngine(SimulatedOptions(step_ms=0, prefill_tokens_per_second=1e12), NANO)
    prompt = await engine.render(request, (), "tenant")
    decoder = engine.decoder(request, prompt)
    decoded: list[Decoded] = []
    ids = 0
    async for step in engine.generate("g", request, prompt, (), candidate):
        for token_id in step.token_ids:
            ids += 1
            decoded.append(decoder.push(token_id))
            if decoded[-1].stop_sequence is not None:
                return decoded, ids, "stop"
        if step.finish is not None:
            decoded.append(decoder.finish())
            return decoded, ids, "stop" if step.finish is EngineFinish.STOP else "length"
    raise AssertionError("the engine did not finish")


def _text(decoded: Sequence[Decoded], kind: type[TextPiece] | type[ThoughtPiece]) -> str:
    return "".join(p.text for d in decoded for p in d.pieces if isinstance(p, kind))


@pytest.mark.parametrize("seed", range(3))
async def test_answers_are_equal_when_requests_are_random(seed: int) -> None:
    load = Load(random.Random(seed), requests=_REQUESTS, poisons=0)
    for plan in load.plans():
        assert len(plan.answers) == (plan.request.generation_config.candidate_count or 1)
        for candidate, answer in enumerate(plan.answers):
            decoded, ids, end = await _run(plan.request, candidate)
            calls = [p for d in decoded for p in d.pieces if isinstance(p, CallPiece)]

            assert answer.text == _text(decoded, TextPiece)
            assert answer.output_tokens == ids
            assert answer.call == next(((c.call_id, c.name, c.arguments) for c in calls), None)
            assert (answer.finish_reason == generation_pb2.FINISH_REASON_MAX_TOKENS) == (
                end == "length"
            )
            assert answer.stop_sequence == next(
                (d.stop_sequence for d in decoded if d.stop_sequence), ""
            )
            if plan.request.generation_config.thinking.include_thoughts:
                assert answer.thoughts == _text(decoded, ThoughtPiece)
            _assert_lengths(answer, decoded, ids)


def _assert_lengths(answer: Answer, decoded: Sequence[Decoded], ids: int) -> None:
    """What is out after each id lies between what must and what may be out."""
    for count in range(ids + 1):
        out = len(_text(decoded[:count], TextPiece))
        assert answer.released[count] <= out or count == ids
        assert out <= answer.decoded[count]


def test_load_holds_every_kind_when_it_is_large() -> None:
    plans = list(Load(random.Random(0), requests=2000, poisons=3).plans())

    assert {plan.kind for plan in plans} == set(Kind)
    assert sum(plan.kind is Kind.POISON for plan in plans) == 3
    assert sum(bool(plan.answers[0].stop_sequence) for plan in plans) > 100
    assert sum(plan.answers[0].call is not None for plan in plans) > 100
    assert sum(len(plan.answers) > 1 for plan in plans) > 100
    assert len({plan.request.request_id for plan in plans}) == len(plans)


def test_arguments_are_json_when_a_call_is_expected() -> None:
    plans = Load(random.Random(1), requests=200, poisons=0).plans()
    calls = [answer.call for plan in plans for answer in plan.answers if answer.call]

    for _, name, arguments in calls:
        event = event_pb2.Event()
        event.function_call.name = name
        json_format.Parse(arguments, event.function_call.args)
        assert set(json.loads(arguments)) == {"value"}


def test_answer_is_the_same_when_asked_twice() -> None:
    (plan,) = Load(random.Random(2), requests=1, poisons=0).plans()

    assert answers_of(plan.request) == plan.answers


def test_candidates_say_other_things_when_there_are_several() -> None:
    plans = Load(random.Random(0), requests=200, poisons=0).plans()
    several = [plan for plan in plans if len(plan.answers) > 1]

    assert several
    assert all(len({a.text for a in plan.answers}) == len(plan.answers) for plan in several)
