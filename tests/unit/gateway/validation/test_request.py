"""How a generation is handled, and how findings add up."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from facet.api.v1.content_pb2 import Content, FunctionDeclaration, Part, Tool
from facet.api.v1.generation_pb2 import (
    ON_DISCONNECT_CONTINUE,
    PRIORITY_BATCH,
    GenerationConfig,
    GenerationRequest,
)
from facet.core.errors import ContextExceededError, InvalidRequestError, MediaUndecodableError
from tests.support.media_samples import PNG
from tests.unit.gateway.validation.cases import (
    PEAK_BYTES,
    asked,
    configured,
    inline,
    peak_bytes,
    refusal,
    unserved,
    wrong_fields,
)

pytestmark = pytest.mark.unit

MANY = 200_000


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"priority": PRIORITY_BATCH, "on_disconnect": ON_DISCONNECT_CONTINUE},
        {"session_id": "s", "request_id": "r" * 128},
        {"retention": Duration(seconds=60)},
        {"system_instruction": Content(parts=[Part(text="be brief")])},
    ],
)
def test_request_is_accepted_when_all_is_in_order(fields: dict[str, Any]) -> None:
    assert wrong_fields(asked(**fields)) == []


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"priority": 9}, ["request.priority"]),
        ({"on_disconnect": 9}, ["request.on_disconnect"]),
        ({"session_id": "ä" * 65}, ["request.session_id"]),
        ({"request_id": "a\nb"}, ["request.request_id"]),
        ({"retention": Duration(seconds=-1)}, ["request.retention"]),
        ({"retention": Duration(seconds=10**10)}, ["request.retention"]),
        ({"system_instruction": Content()}, ["request.system_instruction.parts"]),
        (
            {"system_instruction": Content(parts=[inline("image/png", PNG)])},
            ["request.system_instruction.parts[0]"],
        ),
        (
            {"system_instruction": Content(parts=[Part(text="a"), Part(text="")])},
            ["request.system_instruction.parts[1].text"],
        ),
        (
            {"system_instruction": Content(parts=[Part(text="a", thought=True)])},
            ["request.system_instruction.parts[0].thought"],
        ),
    ],
)
def test_field_is_named_when_it_is_wrong(fields: dict[str, Any], wrong: list[str]) -> None:
    assert wrong_fields(asked(**fields)) == wrong


@pytest.mark.parametrize(
    "fields",
    [
        {"system_instruction": Content(parts=[Part()] * MANY)},
        {"tools": [Tool()] * MANY},
        {"tools": [Tool(function_declarations=[FunctionDeclaration()] * MANY)]},
        {"contents": [Content()] * MANY},
        {"contents": [Content(parts=[Part()] * MANY)]},
    ],
    ids=["instruction", "tools", "functions", "turns", "parts"],
)
def test_little_is_held_when_a_request_has_very_many_of_anything(fields: dict[str, Any]) -> None:
    assert peak_bytes(GenerationRequest(**fields)) < PEAK_BYTES


def test_all_fields_are_named_when_several_are_wrong() -> None:
    request = GenerationRequest(
        contents=[Content()],
        generation_config=GenerationConfig(temperature=-1, top_p=0),
        priority=9,  # type: ignore[arg-type]
    )
    assert wrong_fields(request) == [
        "request.contents[0].parts",
        "request.generation_config.temperature",
        "request.generation_config.top_p",
        "request.priority",
    ]
    error = refusal(request)
    assert error is not None
    assert error.message.endswith("and 1 more")


@pytest.mark.parametrize(("field", "value"), [("adapter", "mine")])
def test_field_is_named_when_it_is_not_served(field: str, value: str | bool) -> None:
    assert unserved(asked(**{field: value})) == f"request.{field}"


def test_wrong_field_comes_first_when_another_is_not_served() -> None:
    assert wrong_fields(configured(temperature=3, response_regex="a")) == [
        "request.generation_config.temperature"
    ]


def test_reason_is_precise_when_all_findings_are_of_one_kind() -> None:
    broken = inline("image/png", PNG[:-1])
    assert type(refusal(asked(broken))) is MediaUndecodableError
    assert type(refusal(asked(broken, Part(text="")))) is InvalidRequestError
    assert type(refusal(asked(Part(text="x" * (1 << 21))))) is ContextExceededError
