"""Requests as chat template messages."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from facet.api.v1 import generation_pb2
from facet.worker.engine.conversation import build_conversation, media_paths

pytestmark = pytest.mark.unit


def request(**fields: object) -> generation_pb2.GenerationRequest:
    made = generation_pb2.GenerationRequest()
    json_format.ParseDict(fields, made)
    return made


def test_parts_keep_their_order_when_media_stand_between_text() -> None:
    made = request(
        contents=[
            {"parts": [{"text": "a"}, {"media": {"mediaId": "1"}}, {"text": "b"}]},
            {"role": "ROLE_MODEL", "parts": [{"text": "c"}]},
            {"parts": [{"media": {"mediaId": "2"}}]},
        ]
    )
    conversation = build_conversation(made, ["image", "audio"])
    assert conversation.messages == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image"},
                {"type": "text", "text": "b"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "c"}]},
        {"role": "user", "content": [{"type": "audio"}]},
    ]
    assert media_paths(made) == [
        "request.contents[0].parts[1].inline_data.data",
        "request.contents[2].parts[0].inline_data.data",
    ]


def test_calls_and_results_become_turns_of_assistant_and_tool() -> None:
    made = request(
        contents=[
            {"parts": [{"text": "time?"}]},
            {
                "role": "ROLE_MODEL",
                "parts": [
                    {"text": "let me see", "thought": True},
                    {"functionCall": {"id": "call-0", "name": "clock", "args": {"n": 2, "x": 0.5}}},
                ],
            },
            {
                "parts": [
                    {
                        "functionResponse": {
                            "id": "call-0",
                            "name": "clock",
                            "response": {"hours": [1, {"m": 3}]},
                        }
                    }
                ]
            },
        ]
    )
    _, asked, answered = build_conversation(made, []).messages
    assert asked["reasoning"] == "let me see"
    assert asked["content"] == []
    assert asked["tool_calls"] == [
        {
            "id": "call-0",
            "type": "function",
            "function": {"name": "clock", "arguments": {"n": 2, "x": 0.5}},
        }
    ]
    assert isinstance(asked["tool_calls"][0]["function"]["arguments"]["n"], int)
    assert answered == {
        "role": "tool",
        "tool_call_id": "call-0",
        "name": "clock",
        "content": {"hours": [1, {"m": 3}]},
    }


def test_the_system_instruction_comes_first() -> None:
    made = request(
        contents=[{"parts": [{"text": "hi"}]}],
        systemInstruction={"parts": [{"text": "be brief"}, {"text": "and kind"}]},
    )
    first = build_conversation(made, []).messages[0]
    assert first == {"role": "system", "content": "be brief\nand kind"}


def test_tools_are_declared_unless_calling_is_off() -> None:
    tools = [
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parameters": {"type": "object", "maxItems": 3}}
            ]
        }
    ]
    made = request(contents=[{"parts": [{"text": "hi"}]}], tools=tools)
    (tool,) = build_conversation(made, []).tools
    assert tool == {
        "type": "function",
        "function": {
            "name": "f",
            "description": "d",
            "parameters": {"type": "object", "maxItems": 3},
        },
    }
    off = request(
        contents=[{"parts": [{"text": "hi"}]}],
        tools=tools,
        toolConfig={"mode": "FUNCTION_CALLING_MODE_NONE"},
    )
    assert build_conversation(off, []).tools == []
