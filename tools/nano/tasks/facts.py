"""Facts: a dozen questions with fixed answers."""

from __future__ import annotations

import random

from tools.nano.tasks.example import Example, Task, said

FACTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("What is the capital of France?", "Name the capital of France."), "Paris"),
    (("What is the capital of Italy?", "Name the capital of Italy."), "Rome"),
    (("What is the capital of Japan?", "Name the capital of Japan."), "Tokyo"),
    (("What is the capital of Spain?", "Name the capital of Spain."), "Madrid"),
    (("What is the capital of Germany?", "Name the capital of Germany."), "Berlin"),
    (("What is the capital of Egypt?", "Name the capital of Egypt."), "Cairo"),
    (("How many days are in a week?", "How many days has a week?"), "seven"),
    (("How many legs has a spider?", "How many legs does a spider have?"), "eight"),
    (("How many hours are in a day?", "How many hours has a day?"), "twenty-four"),
    (("What is the opposite of hot?", "Name the opposite of hot."), "cold"),
    (("Which planet is closest to the sun?", "Name the planet closest to the sun."), "Mercury"),
    (("Which planet is the largest?", "What is the largest planet?"), "Jupiter"),
)


def _draw(rng: random.Random) -> tuple[str, Example]:
    questions, answer = rng.choice(FACTS)
    question = rng.choice(questions)
    thought = "The user asks for a fact."
    return question, Example((said("user", question),), expected=answer, thought=thought)


TASK = Task("fact", _draw, is_closed=True)
