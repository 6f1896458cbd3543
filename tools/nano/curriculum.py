"""What is trained on: which tasks share a batch, and the surroundings they appear in."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tools.nano.prompts import EncodedExample, PromptEncoder
from tools.nano.tasks import TASKS, Example, Message
from tools.nano.tasks.example import said
from tools.nano.tasks.tool_calling import TOOLS

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a concise assistant. Answer briefly.",
    "Give short answers.",
)
CHATTY = ("copy", "reverse", "fact", "recall", "count")
"""Tasks whose turns may come before another question."""

POOL_SIZES = {"image": 8000, "video": 1500}
"""So many examples are drawn and then used again, since encoding their files takes long."""


@dataclass(frozen=True)
class Group:
    """Tasks that share a batch because their lengths are alike."""

    weights: tuple[tuple[str, int], ...]
    rows: int

    @property
    def name(self) -> str:
        """Its tasks' names."""
        return "+".join(name for name, _ in self.weights)


TEXT = Group((("copy", 4), ("reverse", 5), ("fact", 1), ("recall", 2), ("thinking", 2)), rows=20)
LONG = Group((("count", 1), ("repeat", 1)), rows=10)
TOOL = Group((("tool", 1),), rows=6)
IMAGE = Group((("image", 1),), rows=14)
AUDIO = Group((("audio", 1),), rows=10)
VIDEO = Group((("video", 1),), rows=3)
GROUPS = (TEXT, LONG, TOOL, IMAGE, AUDIO, VIDEO)
"""Every group once."""

STRUCTURED = (LONG, LONG, TOOL)
TIMED = (AUDIO, VIDEO)


def groups_of_step(step: int) -> tuple[Group, ...]:
    """The batches whose gradients make up optimizer step number `step`."""
    # Two processes take these by turns, so media fall to one and text to the other.
    return IMAGE, TEXT, TIMED[step % len(TIMED)], STRUCTURED[step % len(STRUCTURED)]


def _history(rng: random.Random) -> tuple[Message, ...]:
    earlier = TASKS[rng.choice(CHATTY)].example(rng.getrandbits(40), "train")
    if len(earlier.expected) > 80:
        return ()
    return (*earlier.messages, said("assistant", earlier.expected))


def in_context(example: Example, rng: random.Random) -> Example:
    """Put an example where a chat might: after other turns, a system prompt, with thinking on."""
    messages = example.messages
    if not example.tools and rng.random() < 0.15:
        messages = (*_history(rng), *messages)
    if rng.random() < 0.08:
        messages = (said("system", rng.choice(SYSTEM_PROMPTS)), *messages)
    tools = example.tools
    if not tools and not example.media and rng.random() < 0.04:
        tools = tuple(tool.spec() for tool in rng.sample(TOOLS, rng.randint(1, 2)))
    thinking = example.thinking
    if example.thought:
        thinking = rng.random() < (0.75 if thinking else 0.12)
    return replace(example, messages=messages, tools=tools, thinking=thinking)


class TrainingData:
    """Draws encoded training examples; the same seed and calls give the same ones."""

    def __init__(self, encoder: PromptEncoder, seed: int) -> None:
        self._encoder = encoder
        self._seed = seed
        self._pools: dict[str, list[Example]] = {}

    def batch(self, group: Group, step: int) -> list[EncodedExample]:
        """The encoded rows of `group` at `step`."""
        rng = random.Random(f"{self._seed}:{step}:{group.name}")
        tasks, weights = zip(*group.weights, strict=True)
        names = rng.choices(tasks, weights, k=group.rows)
        return [self._encoder.encode(in_context(self._draw(name, rng), rng)) for name in names]

    def _draw(self, name: str, rng: random.Random) -> Example:
        if name not in POOL_SIZES:
            return TASKS[name].example(rng.getrandbits(40), "train")
        pool = self._pools.setdefault(name, [])
        if len(pool) < POOL_SIZES[name]:
            pool.append(TASKS[name].example(self._seed * 1_000_003 + len(pool), "train"))
            return pool[-1]
        return rng.choice(pool)
