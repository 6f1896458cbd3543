"""Repeating: one word or emoji with running numbers, another long answer."""

from __future__ import annotations

import random

from tools.nano.tasks.example import Example, Task, said
from tools.nano.tasks.phrases import COMMON
from tools.nano.vocabulary import EMOJI

MOST = 10


def _draw(rng: random.Random) -> tuple[str, Example]:
    text = rng.choice(EMOJI if rng.random() < 0.3 else COMMON)
    times = rng.randint(2, MOST)
    wording = rng.choice(("Say {} {} times.", "Repeat {} {} times.", "Write {} {} times."))
    answer = ", ".join(f"{number} {text}" for number in range(1, times + 1))
    thought = "The user wants a numbered list."
    prompt = wording.format(text, times)
    return f"{times} {text}", Example((said("user", prompt),), expected=answer, thought=thought)


TASK = Task("repeat", _draw)
