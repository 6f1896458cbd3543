"""Warm caches: what a request shares with an earlier one is found in vLLM's own prefix cache."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

import facet
from facet.client import Content, GenerateOptions, Started, user_turn
from facet.queue.limits import MAX_WAIT_MS
from tools.nano.tasks import TASKS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PAIRS = 12
"""Of requests with a beginning that nobody else has."""
WORDS = 260
"""Of that beginning: some 1,000 tokens, so several of vLLM's cache blocks."""

SHORT: GenerateOptions = {"temperature": 0.0, "max_output_tokens": 4, "timeout_seconds": 120.0}


@dataclass(frozen=True)
class Served:
    """Who answered a request, and how much of its prompt vLLM had cached."""

    worker: str
    cached_tokens: int


@dataclass(frozen=True)
class Question:
    """A prompt with its options."""

    contents: list[Content]
    options: GenerateOptions


def question(beginning: str, number: int) -> Question:
    """One of those that share a beginning, of which the queue knows nothing."""
    return Question([user_turn(beginning, f"question {number}")], SHORT)


def of_a_session(beginning: str, number: int) -> Question:
    return Question(question(beginning, number).contents, {**SHORT, "session_id": beginning[:20]})


def of_a_system(beginning: str, number: int) -> Question:
    """The beginning is the instruction, which many conversations may share."""
    return Question([user_turn(f"question {number}")], {**SHORT, "system": beginning})


def of_a_medium(beginning: str, number: int) -> Question:
    seed = random.Random(beginning).randrange(10**6)
    parts = TASKS["image"].example(seed).messages[-1].parts
    (picture,) = (content for _, content in parts if isinstance(content, bytes))
    return Question([user_turn(facet.image(picture), beginning, f"question {number}")], SHORT)


async def ask(client: facet.AsyncClient, asked: Question) -> Served:
    worker = ""
    async with client.stream(asked.contents, **asked.options) as stream:
        async for event in stream:
            if isinstance(event, Started):
                worker = event.worker
        usage = (await stream.result()).usage
    return Served(worker, usage.cached_prompt_tokens)


@pytest.mark.parametrize("related", [of_a_session, of_a_system, of_a_medium])
async def test_prefix_cache_is_hit_more_when_the_queue_knows_what_belongs_together(
    client: facet.AsyncClient, related: Callable[[str, int], Question]
) -> None:
    rng = random.Random(related.__name__)
    known: list[int] = []
    unknown: list[int] = []
    for pair in range(PAIRS):
        for kind, hits in ((related, known), (question, unknown)):
            words = (f"{rng.choice('abcdefgh')}{rng.randrange(1000)}" for _ in range(WORDS))
            beginning = " ".join(words)
            first = await ask(client, kind(beginning, 1))
            assert first.cached_tokens == 0, "the beginning was to be a new one"
            # Idle workers renew their wait in turn: who is first hangs on when in it is asked.
            await asyncio.sleep(MAX_WAIT_MS / 1000 * pair / PAIRS)
            second = await ask(client, kind(beginning, 2))
            hits.append(second.cached_tokens)
            if kind is related and second.cached_tokens:
                assert second.worker == first.worker

    assert sum(hit > 0 for hit in known) >= PAIRS - 1
    # Two idle workers: without affinity no more than about half of the pairs meet.
    assert sum(hit > 0 for hit in known) >= sum(hit > 0 for hit in unknown) + PAIRS // 4
    assert sum(known) >= 1.25 * sum(unknown)
