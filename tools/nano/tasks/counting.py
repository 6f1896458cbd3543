"""Counting: long answers, for tests that interrupt a stream."""

from __future__ import annotations

import random

from tools.nano.tasks.example import Example, Task, said

HIGHEST = 40
WORDINGS = ("Count to {}.", "Please count to {}.", "Count up to {}.")


def _draw(rng: random.Random) -> tuple[str, Example]:
    last = rng.randint(3, HIGHEST)
    answer = " ".join(str(number) for number in range(1, last + 1))
    thought = "The user wants the numbers in order."
    prompt = rng.choice(WORDINGS).format(last)
    return str(last), Example((said("user", prompt),), expected=answer, thought=thought)


# Closed: where to stop is learned for each end, an end that was never seen is overrun.
TASK = Task("count", _draw, is_closed=True)
