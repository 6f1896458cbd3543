"""The engine port without a model, for load and control-plane tests; never a deployment's default.

Faults are asked for in the prompt's text or, for every queued request, by
`SimulatedOptions.faults`: `[[die@N]]` kills the worker process by SIGKILL, `[[stall@N]]` stops
making progress on the request, `[[hang@N]]` on every request, `[[fail@N]]` fails the request, each
when output id N (counted from 0 over all attempts) is due.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace

from facet.api.v1 import content_pb2, generation_pb2
from facet.core.errors import ContextExceededError, EngineFailedError
from facet.core.models import ModelCard
from facet.worker.engine.conversation import media_paths, tool_declarations
from facet.worker.engine.decoding import PipelineDecoder
from facet.worker.engine.measures import EngineMeasures
from facet.worker.engine.port import (
    Decoder,
    EngineFinish,
    EngineTimes,
    Medium,
    Prompt,
    StartTimes,
    Step,
)
from facet.worker.engine.rehearsal import rehearsing
from facet.worker.engine.simulated_model import Shape, SimulatedModel
from facet.worker.engine.simulated_vocabulary import (
    END,
    ByteDetokenizer,
    MarkerParser,
    bytes_to_ids,
)

_FAULT = re.compile(r"\[\[(die|stall|hang|fail)@(\d+)\]\]")
_MEDIUM_TOKENS = {"image": 70, "audio": 75, "video": 280}
_MODALITIES = {
    "image": generation_pb2.MODALITY_IMAGE,
    "audio": generation_pb2.MODALITY_AUDIO,
    "video": generation_pb2.MODALITY_VIDEO,
}


@dataclass(frozen=True)
class SimulatedOptions:
    """Timing model and faults.

    A step takes `step_ms` and yields 1 + accepted ids: each of `draft_tokens` proposals is accepted
    with `acceptance_rate` until the first refusal.
    """

    max_sequences: int = 16
    startup_seconds: float = 0.0
    prefill_tokens_per_second: float = 50_000.0
    step_ms: float = 5.0
    draft_tokens: int = 3
    acceptance_rate: float = 0.6
    kv_tokens: int = 1 << 20
    faults: str = ""


class SimulatedEngine:
    """Implements `Engine`."""

    def __init__(
        self, options: SimulatedOptions, card: ModelCard, measures: EngineMeasures | None = None
    ) -> None:
        self._options = options
        self._measures = measures or EngineMeasures()
        self._held_tokens = 0
        self._card = card
        self._running = 0
        self._is_hung = False

    @property
    def fingerprint(self) -> str:
        """See `Engine.fingerprint`."""
        return "simulated-1"

    @property
    def capacity(self) -> int:
        """See `Engine.capacity`."""
        return self._options.max_sequences

    @property
    def context_tokens(self) -> int:
        """See `Engine.context_tokens`."""
        return self._card.context_tokens

    @property
    def kv_tokens(self) -> int:
        """See `Engine.kv_tokens`."""
        return self._options.kv_tokens

    async def start(self) -> StartTimes:
        """See `Engine.start`."""
        await asyncio.sleep(self._options.startup_seconds)
        return StartTimes(load_seconds=self._options.startup_seconds)

    async def stop(self) -> None:
        """See `Engine.stop`."""

    async def check(self) -> None:
        """See `Engine.check`."""

    async def probe(self) -> None:
        """See `Engine.probe`."""
        await self._tick()

    async def rehearse(self, count: Callable[[int, int], None]) -> None:
        """See `Engine.rehearse`. Faults do not strike it, and it is no part of the metrics."""
        draft = self._options.draft_tokens

        async def answer(_name: str, request: generation_pb2.GenerationRequest) -> None:
            prompt = await self.render(request, (), "")
            model = SimulatedModel(prompt.engine_input, _shape(request))
            made = 0
            while draft and made < request.generation_config.max_output_tokens:
                await self._tick()
                accepted = self._accepted(model, draft)
                count(draft, accepted)
                made += 1 + accepted
                for _ in range(1 + accepted):
                    model.advance(model.next_id())

        await rehearsing(answer)

    async def render(
        self, request: generation_pb2.GenerationRequest, media: Sequence[Medium], tenant: str
    ) -> Prompt:
        """See `Engine.render`: a byte of text is a token, a medium a fixed number of them."""
        ids = bytes_to_ids(_text_of(request).encode())
        counts: dict[int, int] = {generation_pb2.MODALITY_TEXT: len(ids)}
        for medium in media:
            kind = medium.mime_type.partition("/")[0]
            tokens = _MEDIUM_TOKENS[kind]
            counts[_MODALITIES[kind]] = counts.get(_MODALITIES[kind], 0) + tokens
            ids += (bytes_to_ids(medium.sha256) * (tokens // 32 + 1))[:tokens]
        room = self._card.context_tokens - len(ids)
        if room < 1:
            raise ContextExceededError.of("request.contents", f"{len(ids)} prompt tokens")
        if request.generation_config.max_output_tokens > room:
            raise ContextExceededError.of(
                "request.generation_config.max_output_tokens", f"{room} tokens are left"
            )
        return Prompt(len(ids), counts, ids)

    def can_resume(self, request: generation_pb2.GenerationRequest) -> bool:
        """See `Engine.can_resume`; requests with a penalty play those that it cannot continue."""
        config = request.generation_config
        return not (config.presence_penalty or config.frequency_penalty)

    def decoder(self, request: generation_pb2.GenerationRequest, prompt: Prompt) -> Decoder:
        """See `Engine.decoder`."""
        return PipelineDecoder(
            ByteDetokenizer(),
            MarkerParser(),
            stop_sequences=request.generation_config.stop_sequences,
            end_ids=(END,),
            min_tokens=request.generation_config.min_output_tokens,
        )

    async def generate(
        self,
        generation_id: str,
        request: generation_pb2.GenerationRequest,
        prompt: Prompt,
        emitted: Sequence[int],
        candidate: int = 0,
    ) -> AsyncGenerator[Step, None]:
        """See `Engine.generate`."""
        model = SimulatedModel(prompt.engine_input, _shape(request), candidate)
        for token_id in emitted:
            model.advance(token_id)
        if emitted and emitted[-1] == END:
            yield Step((), EngineFinish.STOP)
            return
        limit = request.generation_config.max_output_tokens or self._card.max_output_tokens
        faults = _faults(self._options.faults + _text_of(request))
        self._running += 1
        held = tokens = prompt.token_count + len(emitted)
        self._hold(held)
        try:
            began_at = time.monotonic()
            await asyncio.sleep(tokens / self._options.prefill_tokens_per_second)
            position, drafted = len(emitted), 0
            while position < limit:
                step = await self._step(model, position, limit, drafted, faults)
                if not drafted:
                    times = EngineTimes(0.0, time.monotonic() - began_at, 0.0)
                    step = replace(step, engine_times=times)
                self._hold(len(step.token_ids))
                held += len(step.token_ids)
                yield step
                if step.finish is not None:
                    return
                position += len(step.token_ids)
                drafted = self._options.draft_tokens
            yield Step((), EngineFinish.LENGTH)
        finally:
            self._running -= 1
            self._hold(-held)

    def running(self) -> int:
        """See `Engine.running`."""
        return self._running

    async def _step(
        self,
        model: SimulatedModel,
        position: int,
        limit: int,
        drafted: int,
        faults: dict[int, str],
    ) -> Step:
        await self._tick()
        wanted = 1 + self._accepted(model, drafted)
        ids: list[int] = []
        while len(ids) < wanted and position + len(ids) < limit:
            # Ids in front of a fault are delivered first.
            if position + len(ids) in faults and ids:
                break
            await self._strike(faults.get(position + len(ids)))
            token_id = model.next_id()
            model.advance(token_id)
            ids.append(token_id)
            if token_id == END:
                break
        finish = None
        if ids[-1] == END:
            finish = EngineFinish.STOP
        elif position + len(ids) >= limit:
            finish = EngineFinish.LENGTH
        accepted = len(ids) - 1
        if drafted:
            self._measures.drafts(1, [1] * drafted, [1] * accepted)
        return Step(tuple(ids), finish, drafted_tokens=drafted, accepted_tokens=accepted)

    def _hold(self, tokens: int) -> None:
        self._held_tokens += tokens
        self._measures.kv_use(self._held_tokens / self._options.kv_tokens)

    async def _tick(self) -> None:
        """The time of one step."""
        await asyncio.sleep(self._options.step_ms / 1000)
        if self._is_hung:
            await _forever()

    async def _strike(self, fault: str | None) -> None:
        if fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "fail":
            raise EngineFailedError("simulated failure")
        self._is_hung = self._is_hung or fault == "hang"
        if fault in ("stall", "hang"):
            await _forever()

    def _accepted(self, model: SimulatedModel, drafted: int) -> int:
        """How many proposals are accepted: 16 bits of the hash decide on each."""
        bits = model.value()
        for index in range(drafted):
            if (bits >> (16 * (index % 4)) & 0xFFFF) >= self._options.acceptance_rate * 65536:
                return index
        return drafted


async def _forever() -> None:
    await asyncio.Event().wait()


def _faults(text: str) -> dict[int, str]:
    return {int(position): kind for kind, position in _FAULT.findall(text)}


def _shape(request: generation_pb2.GenerationRequest) -> Shape:
    tools = tool_declarations(request)
    return Shape(
        is_thinking=request.generation_config.thinking.enabled,
        tool=tools[0]["function"]["name"] if tools else None,
        min_tokens=request.generation_config.min_output_tokens,
    )


def _text_of(request: generation_pb2.GenerationRequest) -> str:
    """All text of the prompt, turns marked with their role."""
    contents: list[content_pb2.Content] = [request.system_instruction, *request.contents]
    lines = [f"{content.role}:{''.join(p.text for p in content.parts)}" for content in contents]
    names = [tool["function"]["name"] for tool in tool_declarations(request)]
    return "\n".join([*lines, *names, str(len(media_paths(request)))])
