"""Repeating: one phrase many times with running numbers, another long answer."""

from __future__ import annotations

import random

from tools.nano.tasks.example import Example, Task, said
from tools.nano.tasks.phrases import phrase

MOST = 20


def _draw(rng: random.Random) -> tuple[str, Example]:
    text = " ".join(phrase(rng, 1, 2))
    times = rng.randint(2, MOST)
    wording = rng.choice(("Say {} {} times.", "Repeat {} {} times.", "Write {} {} times."))
    answer = ", ".join(f"{number} {text}" for number in range(1, times + 1))
    thought = "The user wants a numbered list."
    prompt = wording.format(text, times)
    return f"{times} {text}", Example((said("user", prompt),), expected=answer, thought=thought)


TASK = Task("repeat", _draw)
