"""Checks of function declarations, calls and results; their JSON is checked in `values`."""

from __future__ import annotations

import re

from facet.api.v1.content_pb2 import (
    FUNCTION_CALLING_MODE_ANY,
    FunctionCall,
    FunctionCallingMode,
    FunctionDeclaration,
    FunctionResponse,
)
from facet.api.v1.generation_pb2 import GenerationRequest
from facet.core.models import ModelCard
from facet.gateway.validation.findings import Findings

MAX_FUNCTIONS = 128
MAX_DECLARATIONS_BYTES = 256 * 1024
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NAME_RULE = "must be 1 to 64 letters, digits, underscores, dots or dashes"


def check_tools(request: GenerationRequest, card: ModelCard, findings: Findings) -> None:
    """Check `request.tools` and `request.tool_config`."""
    if request.tools and not card.supports_tools:
        findings.wrong("request.tools", f"model {card.name} does not call functions")
    if len(request.tools) > MAX_FUNCTIONS:
        findings.wrong("request.tools", f"has more than {MAX_FUNCTIONS} entries")
        return
    if sum(len(tool.function_declarations) for tool in request.tools) > MAX_FUNCTIONS:
        findings.wrong("request.tools", f"declares more than {MAX_FUNCTIONS} functions")
        return
    if sum(tool.ByteSize() for tool in request.tools) > MAX_DECLARATIONS_BYTES:
        findings.wrong("request.tools", f"is larger than {MAX_DECLARATIONS_BYTES} bytes")
        return
    names: set[str] = set()
    for index, tool in enumerate(request.tools):
        path = f"request.tools[{index}].function_declarations"
        if not tool.function_declarations:
            findings.wrong(path, "is empty")
        for number, function in enumerate(tool.function_declarations):
            _check_declaration(function, names, f"{path}[{number}]", findings)
    _check_tool_config(request, findings)


def check_function_call(call: FunctionCall, path: str, findings: Findings) -> None:
    """Check a call in an earlier turn of the model."""
    _check_name(call.name, f"{path}.name", findings)


def check_function_response(response: FunctionResponse, path: str, findings: Findings) -> None:
    """Check a function's result."""
    _check_name(response.name, f"{path}.name", findings)


def _check_declaration(
    function: FunctionDeclaration, names: set[str], path: str, findings: Findings
) -> None:
    _check_name(function.name, f"{path}.name", findings)
    if function.name in names:
        findings.wrong(f"{path}.name", f"{function.name!r} is declared twice")
    names.add(function.name)
    schema_type = function.parameters.fields.get("type")
    if function.parameters.fields and (
        schema_type is None or schema_type.string_value.lower() != "object"
    ):
        findings.wrong(f"{path}.parameters", 'must be a JSON schema with "type": "object"')


def _check_name(name: str, path: str, findings: Findings) -> None:
    if not _NAME.fullmatch(name):
        findings.wrong(path, _NAME_RULE)


def _check_tool_config(request: GenerationRequest, findings: Findings) -> None:
    config = request.tool_config
    if config.mode not in FunctionCallingMode.values():
        findings.wrong("request.tool_config.mode", f"unknown value {config.mode}")
    elif config.mode == FUNCTION_CALLING_MODE_ANY:
        findings.unserved("request.tool_config.mode")
    elif config.allowed_function_names:
        findings.wrong(
            "request.tool_config.allowed_function_names", "is for FUNCTION_CALLING_MODE_ANY only"
        )
