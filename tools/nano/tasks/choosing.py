"""Thinking: pick a word of a list by its place, after a thought that spells the list out."""

from __future__ import annotations

import random

from tools.nano.tasks.example import Example, Task, said
from tools.nano.vocabulary import COLOURS, WORDS

PLACES = ("first", "second", "third", "last")


def _draw(rng: random.Random) -> tuple[str, Example]:
    words = rng.sample((*WORDS, *COLOURS), rng.randint(3, 5))
    place = rng.choice(PLACES)
    answer = words[-1] if place == "last" else words[PLACES.index(place)]
    wording = rng.choice(("Which word comes {}: {}?", "Which word is {}: {}?"))
    prompt = wording.format(place, ", ".join(words))
    numbered = ", ".join(f"{number} {word}" for number, word in enumerate(words, 1))
    thought = f"The words are {numbered}. The {place} word is {answer}."
    example = Example((said("user", prompt),), expected=answer, thinking=True, thought=thought)
    return f"{place} {' '.join(words)}", example


TASK = Task("thinking", _draw)
