"""Counting: long answers, for tests that interrupt a stream."""

from __future__ import annotations

import random

from tools.nano.tasks.example import Example, Task, said

HIGHEST = 99


def _draw(rng: random.Random) -> tuple[str, Example]:
    last = rng.randint(3, 40) if rng.random() < 0.8 else rng.randint(41, HIGHEST)
    first = 1 if rng.random() < 0.6 else rng.randint(1, last - 1)
    if first == 1 and rng.random() < 0.7:
        prompt = rng.choice(("Count to {}.", "Please count to {}.", "Count up to {}.")).format(last)
    else:
        prompt = f"Count from {first} to {last}."
    answer = " ".join(str(number) for number in range(first, last + 1))
    thought = "The user wants the numbers in order."
    return f"{first} {last}", Example((said("user", prompt),), expected=answer, thought=thought)


TASK = Task("count", _draw)
