"""Prompts that an engine answers before it serves, to tell how well its drafter guesses."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from facet.api.v1 import content_pb2, generation_pb2
from facet.core.tasks import run_all

MAX_OUTPUT_TOKENS = 48

_TEXTS = (
    "Count to 40.",
    "Count up to 30.",
    "Write coffee 10 times.",
    "Say the words backwards: one two three four",
)
"""Nano was trained on such ones; any model that answers at all can."""


def requests() -> list[generation_pb2.GenerationRequest]:
    """The prompts, without sampling, so that the same checkpoints give the same answers."""
    made = []
    for text in _TEXTS:
        request = generation_pb2.GenerationRequest()
        request.contents.add(role=content_pb2.ROLE_USER).parts.add(text=text)
        request.generation_config.temperature = 0
        request.generation_config.max_output_tokens = MAX_OUTPUT_TOKENS
        made.append(request)
    return made


async def rehearsing(
    answer: Callable[[str, generation_pb2.GenerationRequest], Coroutine[Any, Any, None]],
) -> None:
    """Have each prompt answered, all at once; `answer` gets a generation id and a request.

    Errors: those of `answer`, the first one.
    """
    await run_all(answer(f"rehearsal-{index}", request) for index, request in enumerate(requests()))
