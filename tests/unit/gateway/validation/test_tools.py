"""Function declarations."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from facet.api.v1.content_pb2 import (
    FUNCTION_CALLING_MODE_ANY,
    FUNCTION_CALLING_MODE_AUTO,
    FUNCTION_CALLING_MODE_NONE,
    FunctionDeclaration,
    Tool,
    ToolConfig,
)
from facet.gateway.validation.tools import MAX_FUNCTIONS
from tests.unit.gateway.validation.cases import asked, unserved, wrong_fields

pytestmark = pytest.mark.unit

DECLARED = "request.tools[0].function_declarations"


def _struct(**fields: Any) -> Struct:
    struct = Struct()
    struct.update(fields)
    return struct


SCHEMA = _struct(type="object", properties={"city": {"type": "string"}}, required=["city"])


def _tools(*functions: FunctionDeclaration) -> list[Tool]:
    return [Tool(function_declarations=functions)]


def _function(name: str = "look", parameters: Struct = SCHEMA) -> FunctionDeclaration:
    return FunctionDeclaration(name=name, description="looks", parameters=parameters)


@pytest.mark.parametrize("mode", [0, FUNCTION_CALLING_MODE_AUTO, FUNCTION_CALLING_MODE_NONE])
def test_tools_are_accepted_when_declared_well(mode: Any) -> None:
    tools = _tools(_function(), _function("a.b-c_9", Struct()))
    assert wrong_fields(asked(tools=tools, tool_config=ToolConfig(mode=mode))) == []


@pytest.mark.parametrize(
    ("functions", "wrong"),
    [
        ([], [""]),
        ([_function("")], ["[0].name"]),
        ([_function("a b")], ["[0].name"]),
        ([_function("n" * 65)], ["[0].name"]),
        ([_function(), _function()], ["[1].name"]),
        ([_function(parameters=_struct(type="string"))], ["[0].parameters"]),
        ([_function(parameters=_struct(properties={}))], ["[0].parameters"]),
        (
            [_function(parameters=_struct(type="object", maximum=math.inf))],
            ["[0].parameters.maximum"],
        ),
    ],
)
def test_declaration_is_named_when_it_is_wrong(
    functions: list[FunctionDeclaration], wrong: list[str]
) -> None:
    assert wrong_fields(asked(tools=_tools(*functions))) == [DECLARED + field for field in wrong]


def test_tools_are_refused_when_too_many_or_too_large() -> None:
    many = [_function(f"f{number}") for number in range(MAX_FUNCTIONS + 1)]
    large = FunctionDeclaration(name="f", description="x" * (1 << 18))
    assert wrong_fields(asked(tools=_tools(*many))) == ["request.tools"]
    assert wrong_fields(asked(tools=_tools(large))) == ["request.tools"]


def test_mode_is_named_when_it_is_not_served_or_unknown() -> None:
    forced = ToolConfig(mode=FUNCTION_CALLING_MODE_ANY, allowed_function_names=["look"])
    assert unserved(asked(tools=_tools(_function()), tool_config=forced)) == (
        "request.tool_config.mode"
    )
    assert wrong_fields(asked(tool_config=ToolConfig(mode=9))) == [  # type: ignore[arg-type]
        "request.tool_config.mode"
    ]
    assert wrong_fields(asked(tool_config=ToolConfig(allowed_function_names=["look"]))) == [
        "request.tool_config.allowed_function_names"
    ]
