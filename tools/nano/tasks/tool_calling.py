"""Tools: call the declared function that fits, then answer with what it returned."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tools.nano.tasks.example import Example, Message, Task, ToolCall, ToolSpec, said
from tools.nano.vocabulary import CITIES, WORDS


@dataclass(frozen=True)
class _Tool:
    """A function, how people ask for it, and how its result is told."""

    name: str
    description: str
    parameter: str
    wordings: tuple[str, ...]
    values: tuple[str, ...]
    results: tuple[str, ...]
    answer: str

    def spec(self) -> ToolSpec:
        """OpenAI-style declaration."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": {
                    "type": "object",
                    "properties": {self.parameter: {"type": "string"}},
                    "required": [self.parameter],
                },
            },
        }


TOOLS = (
    _Tool(
        "get_weather",
        "Gets the current weather in a city",
        "city",
        ("What is the weather in {}?", "How is the weather in {}?", "Tell me the weather in {}."),
        CITIES,
        ("sunny", "rainy", "cloudy", "windy", "snowy", "warm", "cold"),
        "The weather in {argument} is {result}.",
    ),
    _Tool(
        "get_time",
        "Gets the current time in a city",
        "city",
        ("What time is it in {}?", "Tell me the time in {}."),
        CITIES,
        tuple(f"{hour} o'clock" for hour in "123456789"),
        "It is {result} in {argument}.",
    ),
    _Tool(
        "set_timer",
        "Sets a timer",
        "minutes",
        ("Set a timer for {} minutes.", "Please set a timer for {} minutes."),
        tuple("23456789"),
        ("set", "ready", "done"),
        "The timer for {argument} minutes is {result}.",
    ),
    _Tool(
        "find_book",
        "Finds a book by its title",
        "title",
        ("Find the book {}.", "Please find the book {}."),
        WORDS,
        ("found", "ready", "here"),
        "The book {argument} is {result}.",
    ),
)


def _draw(rng: random.Random) -> tuple[str, Example]:
    declared = rng.sample(TOOLS, rng.randint(1, 3))
    tool = rng.choice(declared)
    argument = rng.choice(tool.values)
    question = rng.choice(tool.wordings).format(argument)
    call = ToolCall(tool.name, {tool.parameter: argument})
    specs = tuple(item.spec() for item in declared)
    key = " ".join((question, *(item.name for item in declared)))
    messages: tuple[Message, ...] = (said("user", question),)
    if rng.random() < 0.6:
        thought = "I should call a tool."
        return key, Example(messages, "", specs, thought=thought, expected_call=call)
    result = rng.choice(tool.results)
    messages += (Message("assistant", tool_calls=(call,)), said("tool", result))
    answer = tool.answer.format(argument=argument, result=result)
    thought = "The tool has answered."
    return key, Example(messages, answer, specs, thought=thought)


TASK = Task("tool", _draw)
