"""An engine whose candidates take turns as a test says, and what a log says of each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from facet.api.v1 import event_pb2, generation_pb2
from facet.core.models import NANO
from facet.worker.engine.port import Prompt, Step
from facet.worker.engine.simulated import SimulatedEngine, SimulatedOptions
from tests.unit.worker.scripted import text_of


class TurnEngine(SimulatedEngine):
    """Gives steps in turns: `plan` tells whose step is next, and None that all are free.

    `began` are the candidates that were asked for, with the ids that they went on behind.
    """

    def __init__(self) -> None:
        options = SimulatedOptions(step_ms=0, prefill_tokens_per_second=1e9, acceptance_rate=0)
        super().__init__(options, NANO)
        self.plan: list[int] | None = None
        self.began: list[tuple[int, int]] = []
        self.errors: dict[int, Exception] = {}
        self.aborted: list[int] = []
        self._turned = asyncio.Event()

    @property
    def is_waiting(self) -> bool:
        """Whether the plan is over."""
        return self.plan == []

    async def generate(
        self,
        generation_id: str,
        request: generation_pb2.GenerationRequest,
        prompt: Prompt,
        emitted: Sequence[int],
        candidate: int = 0,
    ) -> AsyncGenerator[Step, None]:
        """See `Engine.generate`."""
        self.began.append((candidate, len(emitted)))
        is_complete = False
        try:
            async for step in super().generate(generation_id, request, prompt, emitted, candidate):
                await self._turn(candidate)
                if candidate in self.errors:
                    raise self.errors[candidate]
                is_complete = step.finish is not None
                yield step
        finally:
            if not is_complete:
                self.aborted.append(candidate)

    async def _turn(self, candidate: int) -> None:
        while self.plan is not None and self.plan[:1] != [candidate]:
            await self._turned.wait()
        if self.plan is not None:
            self.plan.pop(0)
        self._wake()

    def go_on(self, plan: list[int]) -> None:
        """Give the steps of another plan."""
        self.plan = plan
        self._wake()

    def _wake(self) -> None:
        self._turned.set()
        self._turned = asyncio.Event()


@dataclass(frozen=True)
class Answer:
    """What a log says of one candidate."""

    text: str
    thoughts: str
    calls: list[str]
    tokens: int
    reason: int
    stop_sequence: str


def answers_of(events: Sequence[event_pb2.Event], count: int) -> list[Answer]:
    """All candidates; offsets, and each candidate's token and text ranges, adjoin."""
    assert [event.offset for event in events] == list(range(len(events)))
    return [_answer([e for e in events if _is_of(e, index)], events[-1]) for index in range(count)]


def _is_of(event: event_pb2.Event, index: int) -> bool:
    kind = event.WhichOneof("kind")
    is_common = kind in ("started", "resumed", "restarted", "finished")
    assert not (is_common and event.candidate_index)
    return not is_common and event.candidate_index == index


def _answer(own: list[event_pb2.Event], last: event_pb2.Event) -> Answer:
    tokens = text = thoughts = 0
    for event in own:
        assert event.token_start == tokens
        tokens = event.token_end
        if event.HasField("text_delta"):
            assert event.text_delta.text_start == text
            text += len(event.text_delta.text)
        if event.HasField("thought_delta"):
            assert event.thought_delta.text_start == thoughts
            thoughts += len(event.thought_delta.text)
    ends = [event for event in own if event.HasField("candidate_finished")]
    assert ends == own[-1:] or not last.finished.finish_reason
    return Answer(
        text=text_of(own),
        thoughts="".join(event.thought_delta.text for event in own),
        calls=[str(e.function_call) for e in own if e.HasField("function_call")],
        tokens=tokens,
        reason=own[-1].candidate_finished.finish_reason,
        stop_sequence=own[-1].candidate_finished.stop_sequence,
    )
