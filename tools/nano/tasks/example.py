"""What a task produces: a conversation, its media, and the answer that a test expects."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Split = Literal["train", "held_out"]
Part = tuple[Literal["text"], str] | tuple[Literal["image", "audio", "video"], bytes]
ToolSpec = dict[str, Any]

HELD_OUT_OF = 8
"""One content in this many is held out of training."""


@dataclass(frozen=True)
class ToolCall:
    """A function call; `arguments` is plain data."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Message:
    """One turn. `role` is system, user, assistant or tool; parts keep their order.

    An assistant turn may carry `tool_calls`; a tool turn answers the calls before it.
    """

    role: str
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def text(self) -> str:
        """The text parts, joined without a separator."""
        return "".join(str(content) for kind, content in self.parts if kind == "text")


@dataclass(frozen=True)
class Example:
    """A prompt and its one right continuation.

    `expected` is the final answer's text, empty when `expected_call` is what the model must say.
    `thought` is what it thinks first when `thinking` is on.
    """

    messages: tuple[Message, ...]
    expected: str
    tools: tuple[ToolSpec, ...] = ()
    thinking: bool = False
    thought: str = ""
    expected_call: ToolCall | None = None

    @property
    def media(self) -> tuple[tuple[str, bytes], ...]:
        """Kind and file of every media part, in prompt order."""
        return tuple(
            (kind, content)
            for message in self.messages
            for kind, content in message.parts
            if isinstance(content, bytes)
        )


Generator = Callable[[random.Random], tuple[str, Example]]
"""Draws an example and a key of its content, which decides its split."""


def asked_about(media: Part, question: str, rng: random.Random) -> Message:
    """A user turn of one media part and a question, mostly in that order."""
    text: Part = ("text", question)
    return Message("user", (media, text) if rng.random() < 0.8 else (text, media))


def said(role: str, text: str) -> Message:
    """A turn of one text part."""
    return Message(role, (("text", text),))


def is_held_out(key: str) -> bool:
    """Whether content `key` belongs to the held-out split, the same on every machine."""
    return random.Random(f"split:{key}").randrange(HELD_OUT_OF) == 0


@dataclass(frozen=True)
class Task:
    """A named family of examples.

    `is_closed` marks a task whose contents are all trained on (facts): its held-out examples
    differ in nothing but the seed.
    """

    name: str
    generator: Generator = field(repr=False)
    is_closed: bool = False

    def example(self, seed: int, split: Split = "held_out") -> Example:
        """Example number `seed` of `split`; equal arguments give equal examples."""
        rng = random.Random(f"{self.name}:{split}:{seed}")
        while True:
            key, example = self.generator(rng)
            if self.is_closed or is_held_out(f"{self.name}:{key}") == (split == "held_out"):
                return example
