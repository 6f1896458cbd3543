"""Recall: give back a name or a code that the user stated some turns earlier."""

from __future__ import annotations

import random

from tools.nano.tasks.example import Example, Message, Task, said
from tools.nano.tasks.facts import FACTS
from tools.nano.vocabulary import NAMES


def _name(rng: random.Random) -> tuple[str, str, str, str, str]:
    name = rng.choice(NAMES)
    statement = rng.choice(("My name is {}.", "Hello, I am {}.", "Hi, my name is {}.")).format(name)
    question = rng.choice(("What is my name?", "Tell me my name.", "Who am I?"))
    return name, statement, f"Hello {name}.", question, f"Your name is {name}."


def _code(rng: random.Random) -> tuple[str, str, str, str, str]:
    code = rng.choice("ABCDEFGHJKLM") + "".join(rng.choice("0123456789") for _ in range(3))
    statement = rng.choice(("My code is {}.", "Remember the code {}.", "The code is {}."))
    question = rng.choice(("What is my code?", "Tell me the code.", "What was the code?"))
    return code, statement.format(code), "Noted.", question, f"The code is {code}."


def _draw(rng: random.Random) -> tuple[str, Example]:
    secret, statement, reply, question, answer = rng.choice((_name, _code))(rng)
    messages: list[Message] = [said("user", statement), said("assistant", reply)]
    between = rng.randint(0, 2)
    for questions, fact in rng.sample(FACTS, between):
        messages += [said("user", rng.choice(questions)), said("assistant", fact)]
    messages.append(said("user", question))
    key = " ".join((secret, *(message.text for message in messages[2:])))
    thought = "The user said it before."
    return key, Example(tuple(messages), expected=answer, thought=thought)


TASK = Task("recall", _draw)
