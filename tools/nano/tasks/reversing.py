"""Reverse: say the words of a phrase in the opposite order."""

from __future__ import annotations

import random

from tools.nano.tasks.example import Example, Task, said
from tools.nano.tasks.phrases import phrase

WORDINGS = (
    "Reverse the words: {}",
    "Say the words backwards: {}",
    "Reverse the order of these words: {}",
)


def _draw(rng: random.Random) -> tuple[str, Example]:
    words = phrase(rng, 2, 5)
    prompt = rng.choice(WORDINGS).format(" ".join(words))
    answer = " ".join(reversed(words))
    thought = "The user wants the words backwards."
    return " ".join(words), Example((said("user", prompt),), expected=answer, thought=thought)


TASK = Task("reverse", _draw)
