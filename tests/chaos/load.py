"""The requests of a run: drawn from a seed, each with its client's conduct and right answer."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from facet.api.v1 import content_pb2, generation_pb2
from tests.chaos.expected import Answer, answers_of

ORDINARY_SECONDS = 90.0
_LONG_TOKENS = 500
"""Longer than any short deadline, and than the grace after which an abandoned request ends."""

_SHARE_OF_SEVERAL = 0.08
"""Of requests that ask for several candidates."""

_PHRASES = (
    "Tell me about the river",
    "Erzähl von Straßen und Flüssen",
    "café naïve señor",
    "東京の天気は",
    "расскажи про реку",
    "👩‍🚀 and 🚀 went to the 🌙",
    "שלום עולם",
    "a line\nand another\ttab",
    "½ × ∞ ≠ œuvre",
)
_TOOLS = ("lookup", "get_weather", "ship.order-v2")
_SELDOM = (" river stone light", "😀 😀 😀", "~never~", " quickly.", " café naïve")


class Kind(Enum):
    """What the client of a request does."""

    STREAM = "stream"
    UNARY = "unary"
    SUBMIT = "submit"
    SLOW = "slow"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    CANCEL = "cancel"
    DROP = "drop"
    DEADLINE = "deadline"
    POISON = "poison"


SHARES: Mapping[Kind, float] = {
    Kind.STREAM: 0.72,
    Kind.UNARY: 0.09,
    Kind.SUBMIT: 0.03,
    Kind.SLOW: 0.03,
    Kind.DUPLICATE: 0.03,
    Kind.CONFLICT: 0.02,
    Kind.CANCEL: 0.05,
    Kind.DROP: 0.01,
    Kind.DEADLINE: 0.02,
}


@dataclass(frozen=True)
class Plan:
    """One request.

    `cut_after` is after how many events a cancelling client acts; `timeout_seconds` the deadline of
    its calls.
    """

    number: int
    kind: Kind
    request: generation_pb2.GenerationRequest
    timeout_seconds: float
    cut_after: int = 0

    @cached_property
    def answers(self) -> tuple[Answer, ...]:
        """What the simulated engine must say, as each candidate."""
        return answers_of(self.request)


class Load:
    """`requests` plans, `poisons` of them in its first half kill every worker that runs them.

    `shares` tells how often each kind is drawn; `min_tokens` is the range of the least length of
    all answers, without it a few have one; `timeout_seconds` the deadline of those that are not to
    end by it.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        requests: int,
        poisons: int,
        shares: Mapping[Kind, float] = SHARES,
        min_tokens: tuple[int, int] | None = None,
        share_of_several: float = _SHARE_OF_SEVERAL,
        timeout_seconds: float = ORDINARY_SECONDS,
    ) -> None:
        self._rng = rng
        self._share_of_several = share_of_several
        self._timeout_seconds = timeout_seconds
        self._shares = shares
        self._min_tokens = min_tokens
        self._requests = requests
        half = range(requests // 10, requests // 2)
        self._poisoned = set(rng.sample(half, min(poisons, len(half))))

    def plans(self) -> Iterator[Plan]:
        """All plans in order of their beginning; once."""
        for number in range(self._requests):
            kind = Kind.POISON if number in self._poisoned else self._kind(number)
            yield self._plan(number, kind)

    def _kind(self, number: int) -> Kind:
        # Abandoned and poisoned requests hold a worker long: none at the end of a run.
        shares = self._shares
        kinds = [kind for kind in shares if kind is not Kind.DROP or number < self._requests * 0.8]
        return self._rng.choices(kinds, [shares[kind] for kind in kinds])[0]

    def _plan(self, number: int, kind: Kind) -> Plan:
        request = self._request(number)
        config = request.generation_config
        timeout_seconds = self._timeout_seconds
        if kind in (Kind.DROP, Kind.DEADLINE):
            config.ClearField("stop_sequences")
            config.ClearField("max_output_tokens")
            config.min_output_tokens = _LONG_TOKENS
        if kind is Kind.DEADLINE:
            timeout_seconds = self._rng.uniform(0.3, 1.0)
        if kind is Kind.POISON:
            config.Clear()
            request.contents[-1].parts[0].text += f" [[die@{self._rng.choice((0, 0, 3))}]]"
        else:
            self._limit(request, kind)
        return Plan(number, kind, request, timeout_seconds, self._rng.randint(1, 15))

    def _request(self, number: int) -> generation_pb2.GenerationRequest:
        rng = self._rng
        request = generation_pb2.GenerationRequest(
            request_id=f"chaos-{number}-{rng.getrandbits(64):016x}",
            priority=rng.choice(generation_pb2.Priority.values()),
        )
        if rng.random() < 0.2:
            request.system_instruction.parts.add(text="Be brief. 😀")
        if rng.random() < 0.2:
            request.contents.add(role=content_pb2.ROLE_USER).parts.add(text=rng.choice(_PHRASES))
            request.contents.add(role=content_pb2.ROLE_MODEL).parts.add(text="Certainly, ½ 🚀.")
        turn = request.contents.add(role=content_pb2.ROLE_USER)
        turn.parts.add(text=f"{rng.choice(_PHRASES)} no. {number}")
        if rng.random() < 0.3:
            turn.parts.add(text=rng.choice(_PHRASES))
        config = request.generation_config
        config.thinking.enabled = rng.random() < 0.35
        config.thinking.include_thoughts = config.thinking.enabled and rng.random() < 0.75
        if rng.random() < 0.25:
            for name in rng.sample(_TOOLS, rng.randint(1, 2)):
                request.tools.add().function_declarations.add(name=name, description="a tool")
        if rng.random() < self._share_of_several:
            config.candidate_count = rng.randint(2, 3)
        return request

    def _limit(self, request: generation_pb2.GenerationRequest, kind: Kind) -> None:
        """Minimum, stop sequences that cut where it hurts, maximum."""
        rng, config = self._rng, request.generation_config
        if kind in (Kind.DROP, Kind.DEADLINE):
            return
        if self._min_tokens is not None:
            config.min_output_tokens = rng.randint(*self._min_tokens)
        elif rng.random() < 0.1:
            config.min_output_tokens = rng.randint(10, 90)
        if rng.random() < 0.3:
            config.stop_sequences.append(rng.choice(_SELDOM))
            text = rng.choice(answers_of(request)).text
            if rng.random() < 0.7 and len(text) > 20:
                # What stands in the answer's later half, from the middle of words and characters.
                start = rng.randrange(len(text) // 2, len(text) - 8)
                config.stop_sequences.append(text[start : start + rng.randint(2, 8)])
        least = config.min_output_tokens
        if rng.random() < 0.15:
            config.max_output_tokens = rng.randint(max(10, least), max(140, least))
