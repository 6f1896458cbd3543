"""Real decoding, cut at every id: vLLM's renderer and Gemma 4 parsers, a dictated engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from facet.api.v1 import generation_pb2
from facet.worker.engine.port import Decoder, EngineFinish, Medium, Prompt, Step
from facet.worker.engine.simulated import SimulatedEngine
from tests.support.nano_engine import nano_engine
from tests.unit.worker.cutting import content, finished_run, resumed_run
from tests.unit.worker.scripted import Bench, PacedEngine, assert_no_gap, request, text_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    # vLLM and what it imports warn about themselves.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(300),
]

TOOL = {"name": "note", "description": "Keeps a text", "parameters": {"type": "object"}}
FULL = "".join(
    (
        "<|channel>thought\nhm 👩‍🚀, let me see<channel|>",
        "naïve 😀👍🏽 text ",
        '<|tool_call>call:note{text:<|"|>é 😀 {b}<|"|>,deep:{list:[1,2]}}<tool_call|>',
        "<|tool_call>call:note{n:7}<tool_call|>",
    )
)
STOPPED = "before 😀 END of it, and more"
STOP = "😀 END"


class _Dictating(SimulatedEngine):
    """Renders and decodes as the real engine does, and says what it is told to."""

    real: Any
    ids: tuple[int, ...]

    async def render(
        self, request: generation_pb2.GenerationRequest, media: Sequence[Medium], tenant: str
    ) -> Prompt:
        """See `Engine.render`."""
        prompt: Prompt = await self.real.render(request, media, tenant)
        return prompt

    def decoder(self, request: generation_pb2.GenerationRequest, prompt: Prompt) -> Decoder:
        """See `Engine.decoder`."""
        decoder: Decoder = self.real.decoder(request, prompt)
        return decoder

    async def generate(
        self,
        generation_id: str,
        request: generation_pb2.GenerationRequest,
        prompt: Prompt,
        emitted: Sequence[int],
        candidate: int = 0,
    ) -> AsyncGenerator[Step, None]:
        """See `Engine.generate`."""
        assert (candidate, tuple(emitted)) == (0, self.ids[: len(emitted)])
        for number, token_id in enumerate(self.ids[len(emitted) :], start=len(emitted) + 1):
            yield Step((token_id,), EngineFinish.STOP if number == len(self.ids) else None)


class Dictated(PacedEngine, _Dictating):
    """An id a step, each when it is allowed."""

    def __init__(self, real: Any, text: str) -> None:
        super().__init__()
        self.real = real
        ids = real._live.llm.renderer.get_tokenizer().encode(text, add_special_tokens=False)
        self.ids = (*ids, min(real._live.end_ids))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Any]:
    async with nano_engine() as started:
        yield started


@pytest.mark.parametrize(
    ("text", "config"),
    [
        (FULL, {"thinking": {"enabled": True, "includeThoughts": True}}),
        (FULL, {"thinking": {"enabled": True}}),
        (STOPPED, {"stopSequences": [STOP]}),
    ],
    ids=["thought, emoji and calls", "thoughts withheld", "stop sequence"],
)
async def test_nothing_tells_of_a_cut_when_it_comes_at_any_id(
    engine: Any, text: str, config: dict[str, Any]
) -> None:
    dictated = Dictated(engine, text)
    made = request("hi", generationConfig=config, tools=[{"functionDeclarations": [TOOL]}])
    bench = Bench(dictated)
    try:
        whole = await finished_run(bench, "whole", made)
        expected = content(whole)
        assert not whole[-1].finished.HasField("failure")
        if text is FULL:
            assert (text_of(whole), len(expected[2])) == ("naïve 😀👍🏽 text ", 2)
        else:
            assert text_of(whole) == "before "
            assert whole[-1].finished.stop_sequence == STOP
        for cut in range(1, whole[-1].token_end):
            events = await resumed_run(bench, f"cut-{cut}", made, cut)
            assert_no_gap(events)
            assert content(events) == expected, f"cut after {cut} ids"
            for ended in (events[-1].finished, whole[-1].finished):
                ended.ClearField("timings")
            assert events[-1].finished == whole[-1].finished
    finally:
        await bench.close()
