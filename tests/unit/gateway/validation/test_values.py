"""JSON values of declarations, calls and results."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value

from facet.api.v1.content_pb2 import (
    ROLE_MODEL,
    ROLE_USER,
    Content,
    FunctionCall,
    FunctionDeclaration,
    FunctionResponse,
    Part,
    Tool,
)
from facet.api.v1.generation_pb2 import GenerationRequest
from facet.gateway.validation.values import MAX_VALUES
from tests.unit.gateway.validation.cases import PEAK_BYTES, peak_bytes, wrong_fields

pytestmark = pytest.mark.unit

ARGS = "request.contents[0].parts[0].function_call.args"
RESPONSE = "request.contents[1].parts[0].function_response.response"


def struct_of(**fields: Any) -> Struct:
    struct = Struct()
    struct.update(fields)
    return struct


def answered(args: Struct, response: Struct, **fields: Any) -> GenerationRequest:
    call = Part(function_call=FunctionCall(name="look", args=args))
    result = Part(function_response=FunctionResponse(name="look", response=response))
    turns = [Content(role=ROLE_MODEL, parts=[call]), Content(role=ROLE_USER, parts=[result])]
    return GenerationRequest(contents=turns, **fields)


def test_value_is_named_when_json_cannot_express_it() -> None:
    good = struct_of(a=[1, {"b": "c"}, None])
    assert wrong_fields(answered(good, struct_of(ok=True))) == []
    bad = Struct(fields={"x": Value()})
    deep = struct_of(list=[1.0, {"n": math.nan}])
    assert wrong_fields(answered(bad, deep)) == [f"{ARGS}.x", f"{RESPONSE}.list[1].n"]


def test_values_are_refused_when_a_request_holds_too_many_in_all() -> None:
    half = struct_of(list=[0.0] * (MAX_VALUES // 2 - 1))
    assert wrong_fields(answered(half, half)) == []
    tool = Tool(function_declarations=[FunctionDeclaration(name="look")])
    tool.function_declarations[0].parameters["type"] = "object"
    request = answered(half, half, tools=[tool])
    assert wrong_fields(request) == [RESPONSE]


def test_little_is_held_when_a_list_is_long() -> None:
    long = struct_of(list=[True] * 200_000)
    assert peak_bytes(answered(long, Struct())) < PEAK_BYTES


def test_little_is_held_when_many_values_with_a_long_name_are_wrong() -> None:
    long = struct_of(**{"k" * 100_000: [math.nan] * 10_000})
    assert peak_bytes(answered(long, Struct())) < PEAK_BYTES
