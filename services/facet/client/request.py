"""Requests from keyword arguments. The server validates; only shapes are checked here."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, cast

from facet.api.v1 import content_pb2, generation_pb2
from facet.client.content import FunctionDeclaration, Prompt, struct, text, to_contents

GENERATE_TIMEOUT_SECONDS = 300.0
"""Deadline of a generating call that names none."""

CALL_TIMEOUT_SECONDS = 10.0
"""Deadline of every other call."""


MAX_PAGE = 1000
"""Largest page of a listing."""


class GenerateOptions(TypedDict, total=False):
    """Options of a generating call; what is left out takes the model's or the server's default.

    `timeout_seconds` is the deadline of the whole generation, queueing included (default 300).
    `thinking` asks for thoughts and delivers them; `thinking_budget_tokens` bounds them.
    `request_id` makes a repeat of the call name the same generation; the clients take a random one,
    so that they may repeat a call that broke; with "" nothing is repeated. `on_disconnect` tells
    what happens when nobody reads any more: "cancel" after a grace, or "continue".
    With `accept_restart` a lost worker whose state cannot be continued leads to a Restarted event.
    The other names are those of `facet.v1.GenerationConfig`, where their ranges stand.

    Not served yet, so that the server refuses them with NOT_SERVED: `tool_mode` "any" and with it
    `allowed_functions`, `response_json_schema`, `response_regex`, `response_choices`,
    `thinking_budget_tokens`, `media_resolution_tokens`.
    """

    model: str
    system: str
    tools: Sequence[FunctionDeclaration]
    tool_mode: Literal["auto", "any", "none"]
    allowed_functions: Sequence[str]
    temperature: float
    top_p: float
    top_k: int
    max_output_tokens: int
    min_output_tokens: int
    stop_sequences: Sequence[str]
    candidate_count: int
    seed: int
    presence_penalty: float
    frequency_penalty: float
    repetition_penalty: float
    response_json_schema: Mapping[str, Any]
    response_regex: str
    response_choices: Sequence[str]
    thinking: bool
    thinking_budget_tokens: int
    media_resolution_tokens: int
    priority: Literal["interactive", "standard", "batch"]
    session_id: str
    request_id: str
    on_disconnect: Literal["cancel", "continue"]
    accept_restart: bool
    timeout_seconds: float


_PLAIN_CONFIG = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "max_output_tokens",
        "min_output_tokens",
        "stop_sequences",
        "candidate_count",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "response_regex",
        "media_resolution_tokens",
    }
)
_PLAIN_REQUEST = frozenset({"model", "session_id", "request_id", "accept_restart"})

_TOOL_MODES = {
    "auto": content_pb2.FUNCTION_CALLING_MODE_AUTO,
    "any": content_pb2.FUNCTION_CALLING_MODE_ANY,
    "none": content_pb2.FUNCTION_CALLING_MODE_NONE,
}
_PRIORITIES = {
    "interactive": generation_pb2.PRIORITY_INTERACTIVE,
    "standard": generation_pb2.PRIORITY_STANDARD,
    "batch": generation_pb2.PRIORITY_BATCH,
}
_ON_DISCONNECT = {
    "cancel": generation_pb2.ON_DISCONNECT_CANCEL_AFTER_GRACE,
    "continue": generation_pb2.ON_DISCONNECT_CONTINUE,
}


def build_request(prompt: Prompt, options: GenerateOptions) -> generation_pb2.GenerationRequest:
    """The request message.

    Errors: TypeError for an unknown option, ValueError for an unknown choice or a value that its
    field cannot hold.
    """
    unknown = options.keys() - GenerateOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"unknown options: {', '.join(sorted(unknown))}")
    # A TypedDict is read here by computed names, which its type does not allow.
    given = cast("dict[str, Any]", options)
    return generation_pb2.GenerationRequest(
        contents=to_contents(prompt),
        system_instruction=_system(options.get("system")),
        tools=_tools(options.get("tools")),
        tool_config=_tool_config(options),
        generation_config=_config(options, given),
        priority=_choice("priority", _PRIORITIES, options.get("priority")),
        on_disconnect=_choice("on_disconnect", _ON_DISCONNECT, options.get("on_disconnect")),
        **{name: given[name] for name in _PLAIN_REQUEST & given.keys()},
    )


def with_request_id(options: GenerateOptions) -> GenerateOptions:
    """The options with an idempotency key, a random one where the caller named none."""
    # A random key: nobody else's call may be taken for a repeat of this one.
    return {"request_id": uuid.uuid4().hex, **options}


def timeout_of(options: GenerateOptions) -> float:
    """The deadline of a generating call in seconds."""
    return options.get("timeout_seconds", GENERATE_TIMEOUT_SECONDS)


def _system(instruction: str | None) -> content_pb2.Content | None:
    return content_pb2.Content(parts=[text(instruction)]) if instruction else None


def _tools(functions: Sequence[FunctionDeclaration] | None) -> list[content_pb2.Tool]:
    return [content_pb2.Tool(function_declarations=functions)] if functions else []


def _tool_config(options: GenerateOptions) -> content_pb2.ToolConfig | None:
    mode, allowed = options.get("tool_mode"), options.get("allowed_functions")
    if mode is None and allowed is None:
        return None
    return content_pb2.ToolConfig(
        mode=_choice("tool_mode", _TOOL_MODES, mode), allowed_function_names=allowed
    )


def _config(options: GenerateOptions, given: Mapping[str, Any]) -> generation_pb2.GenerationConfig:
    config = generation_pb2.GenerationConfig(
        **{name: given[name] for name in _PLAIN_CONFIG & given.keys()}
    )
    if "response_json_schema" in options:
        config.response_json_schema.CopyFrom(struct(options["response_json_schema"]))
    if "response_choices" in options:
        config.response_choice.choices.extend(options["response_choices"])
    if options.get("thinking") or "thinking_budget_tokens" in options:
        config.thinking.enabled = True
        config.thinking.include_thoughts = True
        config.thinking.budget_tokens = options.get("thinking_budget_tokens", 0)
    return config


def _choice(option: str, choices: Mapping[str, Any], value: str | None) -> Any:
    if value is None:
        return None
    if value not in choices:
        raise ValueError(f"{option} is one of {', '.join(choices)}, not {value!r}")
    return choices[value]
