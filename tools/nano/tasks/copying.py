"""Copy: say a phrase again."""

from __future__ import annotations

import random

from tools.nano.tasks.example import Example, Task, said
from tools.nano.tasks.phrases import phrase

WORDINGS = (
    "Repeat after me: {}",
    "Repeat this phrase: {}",
    "Copy this: {}",
    "Say exactly: {}",
    "Please repeat: {}",
)


def _draw(rng: random.Random) -> tuple[str, Example]:
    text = " ".join(phrase(rng, 1, 7))
    prompt = rng.choice(WORDINGS).format(text)
    thought = "The user wants the same words again."
    return text, Example((said("user", prompt),), expected=text, thought=thought)


TASK = Task("copy", _draw)
