"""Greedy questions to the nano checkpoint, for runs with real engines."""

from __future__ import annotations

from google.protobuf import json_format

from facet.api.v1 import content_pb2, generation_pb2
from tools.nano.tasks import TASKS, Example

_TASKS = ("copy", "reverse", "fact", "recall", "thinking", "tool", "count", "repeat")
_LONG_TOKENS = 300
"""Seconds of output, most of it after the answer's own end."""

_ROLES = {"user": content_pb2.ROLE_USER, "assistant": content_pb2.ROLE_MODEL}


def questions(seed: int) -> list[generation_pb2.GenerationRequest]:
    """One of each task as the checkpoint ends it, and four that go on for long."""
    ordinary = [_request(TASKS[name].example(seed)) for name in _TASKS]
    endless = [_request(TASKS[name].example(seed + 1)) for name in ("copy", "count", "repeat")]
    endless.append(_request(TASKS["thinking"].example(seed + 1)))
    for request in endless:
        request.generation_config.min_output_tokens = _LONG_TOKENS
        request.generation_config.max_output_tokens = _LONG_TOKENS
    return [*endless, *ordinary]


def _request(example: Example) -> generation_pb2.GenerationRequest:
    request = generation_pb2.GenerationRequest()
    for message in example.messages:
        request.contents.add(role=_ROLES[message.role]).parts.add(text=message.text)
    for spec in example.tools:
        function = spec["function"]
        declared = request.tools.add().function_declarations.add(
            name=function["name"], description=function["description"]
        )
        json_format.ParseDict(function["parameters"], declared.parameters)
    config = request.generation_config
    config.temperature = 0.0
    config.max_output_tokens = _LONG_TOKENS
    config.thinking.enabled = config.thinking.include_thoughts = example.thinking
    return request
