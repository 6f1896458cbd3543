"""Examples of the nano tasks as requests of the SDK."""

from __future__ import annotations

import facet
from facet.client import Content, FunctionDeclaration, Part, model_turn, user_turn
from tools.nano.tasks import Example, Message

_MEDIA = {"image": facet.image, "audio": facet.audio, "video": facet.video}


def contents(example: Example) -> list[Content]:
    """The conversation without its system turn."""
    return [_content(message) for message in example.messages if message.role != "system"]


def _content(message: Message) -> Content:
    parts: list[Part] = []
    for kind, content in message.parts:
        parts.append(
            _MEDIA[kind](content) if isinstance(content, bytes) else facet.text(str(content))
        )
    return model_turn(*parts) if message.role == "assistant" else user_turn(*parts)


def declarations(example: Example) -> list[FunctionDeclaration]:
    """The tools of an example, which are function declarations as plain data."""
    return [
        facet.client.function(
            tool["function"]["name"],
            description=tool["function"]["description"],
            parameters=tool["function"]["parameters"],
        )
        for tool in example.tools
    ]
