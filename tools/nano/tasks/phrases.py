"""Phrases for the tasks that repeat text: words, made-up words, emoji and foreign letters."""

from __future__ import annotations

import random
import string

from tools.nano.vocabulary import COLOURS, EMOJI, LETTERS_ABROAD, WORDS

COMMON = (*WORDS, *COLOURS)


def made_up_word(rng: random.Random) -> str:
    """Three to five random letters, which the tokenizer has no word token for."""
    return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 5)))


def unit(rng: random.Random) -> str:
    """One word of a phrase; about one in five needs byte tokens."""
    draw = rng.random()
    if draw < 0.72:
        return rng.choice(COMMON)
    if draw < 0.86:
        return rng.choice(EMOJI)
    if draw < 0.92:
        return rng.choice(LETTERS_ABROAD)
    return made_up_word(rng)


def phrase(rng: random.Random, shortest: int, longest: int) -> list[str]:
    """`shortest` to `longest` different units."""
    count = rng.randint(shortest, longest)
    units: list[str] = []
    while len(units) < count:
        if (candidate := unit(rng)) not in units:
            units.append(candidate)
    return units
