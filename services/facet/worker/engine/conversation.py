"""A request's contents as the messages that chat templates take, media in order of appearance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format, struct_pb2

from facet.api.v1 import content_pb2, generation_pb2


@dataclass(frozen=True)
class Conversation:
    """`messages` and `tools` in the form of Hugging Face chat templates; paths of media parts."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    media_paths: list[str]


def media_paths(request: generation_pb2.GenerationRequest) -> list[str]:
    """Paths of the media parts of a request in order of appearance.

    They are those of the client's request: the gateway made references of inline data.
    """
    return [
        f"request.contents[{i}].parts[{j}].inline_data.data"
        for i, content in enumerate(request.contents)
        for j, part in enumerate(content.parts)
        if part.HasField("media")
    ]


def build_conversation(
    request: generation_pb2.GenerationRequest, kinds: Sequence[str]
) -> Conversation:
    """Translate contents, system instruction and tools.

    `kinds` are "image", "audio" or "video", one per media part in order of appearance.
    """
    remaining = iter(kinds)
    messages: list[dict[str, Any]] = []
    if request.system_instruction.parts:
        text = "\n".join(part.text for part in request.system_instruction.parts)
        messages.append({"role": "system", "content": text})
    for content in request.contents:
        parts = [(part, _kind(part, remaining)) for part in content.parts]
        if content.role == content_pb2.ROLE_MODEL:
            messages.append(_model_turn(parts))
        else:
            messages.extend(_user_turns(parts))
    return Conversation(messages, tool_declarations(request), media_paths(request))


def tool_declarations(request: generation_pb2.GenerationRequest) -> list[dict[str, Any]]:
    """The declared functions in the form of chat templates; none where calling is off."""
    if request.tool_config.mode == content_pb2.FUNCTION_CALLING_MODE_NONE:
        return []
    return [
        {
            "type": "function",
            "function": {
                "name": declaration.name,
                "description": declaration.description,
                "parameters": plain_data(declaration.parameters),
            },
        }
        for tool in request.tools
        for declaration in tool.function_declarations
    ]


def plain_data(struct: struct_pb2.Struct) -> dict[str, Any]:
    """A Struct as plain data; whole numbers become integers, as they were written."""
    return {key: _plain(value) for key, value in json_format.MessageToDict(struct).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _kind(part: content_pb2.Part, remaining: Any) -> str:
    if part.HasField("media"):
        return str(next(remaining))
    return part.WhichOneof("data") or ""


def _model_turn(parts: list[tuple[content_pb2.Part, str]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    thoughts = "".join(p.text for p, kind in parts if kind == "text" and p.thought)
    calls = [p.function_call for p, kind in parts if kind == "function_call"]
    message["content"] = [
        {"type": kind, "text": p.text} if kind == "text" else {"type": kind}
        for p, kind in parts
        if kind != "function_call" and not p.thought
    ]
    if thoughts:
        message["reasoning"] = message["reasoning_content"] = thoughts
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": plain_data(call.args)},
            }
            for call in calls
        ]
    return message


def _user_turns(parts: list[tuple[content_pb2.Part, str]]) -> list[dict[str, Any]]:
    """Results of calls become turns of the tool, in front of what the user says."""
    turns: list[dict[str, Any]] = [
        {
            "role": "tool",
            "tool_call_id": p.function_response.id,
            "name": p.function_response.name,
            "content": plain_data(p.function_response.response),
        }
        for p, kind in parts
        if kind == "function_response"
    ]
    said = [
        {"type": kind, "text": p.text} if kind == "text" else {"type": kind}
        for p, kind in parts
        if kind != "function_response"
    ]
    if said:
        turns.append({"role": "user", "content": said})
    return turns
