"""The list of what is not served, in docs/sdk.md, is what the gateway refuses: no more, no less."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration

import facet
from facet.api.v1 import (
    admin_service_pb2,
    content_pb2,
    generation_pb2,
    inference_service_pb2,
    media_service_pb2,
    model_service_pb2,
)
from facet.client import GenerateOptions, MediaOptions
from facet.client.request import build_request
from facet.core.errors import NotServedError
from facet.core.models import NANO
from facet.gateway import admin_service, inference_service, model_service
from facet.gateway.validation.request import validate
from tests.support.media_samples import PNG

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[3] / "docs" / "sdk.md").read_text()
SECTION = PAGE.partition("### Not served yet")[2].partition("\n## ")[0]
ROWS: dict[str, str] = dict(re.findall(r"^\| `([^`]+)`[^|]*\| ?([^|]*)\|$", SECTION, re.MULTILINE))

# `min_p` is excluded by speculative decoding, and a wrong field then.
CARD = dataclasses.replace(NANO, speculative_tokens=0)

WEATHER = facet.function("get_weather")
OPTIONS: GenerateOptions = {
    "model": "nano",
    "system": "Be brief.",
    "tools": [WEATHER],
    "tool_mode": "any",
    "allowed_functions": ["get_weather"],
    "temperature": 1.0,
    "top_p": 0.5,
    "top_k": 5,
    "max_output_tokens": 5,
    "min_output_tokens": 1,
    "stop_sequences": ["x"],
    "candidate_count": 2,
    "seed": 1,
    "presence_penalty": 1.0,
    "frequency_penalty": 1.0,
    "repetition_penalty": 1.0,
    "response_json_schema": {"type": "object"},
    "response_regex": "a+",
    "response_choices": ["a"],
    "thinking": True,
    "thinking_budget_tokens": 10,
    "media_resolution_tokens": 70,
    "priority": "batch",
    "session_id": "s",
    "request_id": "r",
    "on_disconnect": "continue",
    "accept_restart": True,
    "timeout_seconds": 1.0,
}
"""Every option with a value that its range allows."""
WITH = {"allowed_functions": {"tool_mode": "any"}}
"""What an option needs beside it."""

# Fields that the gateway takes, whose own fields are listed, or that others decide.
SERVED = {
    "model", "contents", "system_instruction", "tools", "tool_config", "generation_config",
    "priority", "session_id", "request_id", "on_disconnect", "accept_restart", "retention",
    "temperature", "top_p", "top_k", "max_output_tokens", "min_output_tokens", "stop_sequences",
    "candidate_count", "seed", "presence_penalty", "frequency_penalty", "repetition_penalty",
    "logprobs", "thinking", "enabled", "include_thoughts", "text", "inline_data", "function_call",
    "function_response", "thought", "allowed_function_names",
}  # fmt: skip

CONFIGS: dict[str, generation_pb2.GenerationConfig] = {
    "min_p": generation_pb2.GenerationConfig(min_p=0.1),
    "response_logprobs": generation_pb2.GenerationConfig(response_logprobs=True),
    "response_grammar": generation_pb2.GenerationConfig(response_grammar="root ::= 'a'"),
}
PARTS = {
    "media": content_pb2.Part(media=content_pb2.MediaReference(media_id="m")),
    "file_data": content_pb2.Part(file_data=content_pb2.FileData(file_uri="data:,")),
}
MEDIA_OPTIONS = [
    MediaOptions(resolution_tokens=70),
    MediaOptions(frames_per_second=2.0),
    MediaOptions(start_offset=Duration(seconds=1)),
    MediaOptions(end_offset=Duration(seconds=1)),
    MediaOptions(include_audio=True),
]


def refused(request: generation_pb2.GenerationRequest) -> str:
    """The feature that is not served, without indices; empty where the request is taken."""
    try:
        validate(request, CARD, max_inline_bytes=1 << 20)
    except NotServedError as error:
        return re.sub(r"\[\d+\]", "[]", error.metadata["feature"])
    return ""


def feature_of(option: str) -> str:
    """The feature that the list gives for an option of the SDK."""
    found = [feature for feature, sdk in ROWS.items() if re.search(rf"`{option}\b", sdk)]
    return "".join(found)


def fields(message: Descriptor) -> set[str]:
    return {field.name for field in message.fields}


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_an_option_is_refused_when_it_is_in_the_list_and_taken_otherwise(option: str) -> None:
    given: Any = {option: OPTIONS[option]} | WITH.get(option, {})  # type: ignore[literal-required]

    assert refused(build_request("hello", given)) == feature_of(option)


def test_the_docstring_names_the_options_of_the_list() -> None:
    listed = {option for option in GenerateOptions.__annotations__ if feature_of(option)}
    assert GenerateOptions.__doc__ is not None
    paragraph = GenerateOptions.__doc__.partition("Not served yet")[2]

    assert OPTIONS.keys() == GenerateOptions.__annotations__.keys()
    assert set(re.findall(r"`(\w+)`", paragraph)) == listed


@pytest.mark.parametrize("options", MEDIA_OPTIONS, ids=lambda o: o.ListFields()[0][0].name)
def test_media_options_are_refused_when_any_is_set(options: MediaOptions) -> None:
    request = build_request([facet.image(PNG, options=options), "?"], {})
    listed, _, field = refused(request).rpartition(".")

    assert listed == feature_of("options")
    assert field == options.ListFields()[0][0].name


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_field_without_an_option_is_refused_when_it_is_in_the_list(name: str) -> None:
    request = build_request("hello", {})
    request.generation_config.CopyFrom(CONFIGS[name])

    assert refused(request) == f"request.generation_config.{name}"
    assert f"request.generation_config.{name}" in ROWS


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_part_is_refused_when_it_is_in_the_list(name: str) -> None:
    assert refused(build_request(PARTS[name], {})) == f"request.contents[].parts[].{name}"
    assert f"request.contents[].parts[].{name}" in ROWS


def test_an_adapter_is_refused() -> None:
    request = build_request("hello", {})
    request.adapter = "a"

    assert refused(request) in ROWS


def test_every_field_is_either_served_or_in_the_list() -> None:
    listed = {feature.rpartition(".")[2] for feature in ROWS if feature.startswith("request.")}
    known = set[str]().union(
        *(
            fields(message.DESCRIPTOR)
            for message in (
                generation_pb2.GenerationRequest,
                generation_pb2.GenerationConfig,
                generation_pb2.ThinkingConfig,
                content_pb2.ToolConfig,
                content_pb2.Part,
            )
        )
    )

    assert SERVED.isdisjoint(listed)
    # `response_choice` and its like are members of a oneof, listed one by one.
    assert known == SERVED | listed
    assert fields(MediaOptions.DESCRIPTOR) == {o.ListFields()[0][0].name for o in MEDIA_OPTIONS}


def test_every_rpc_is_either_served_or_in_the_list() -> None:
    inference = inference_service.InferenceService(Mock(), Mock(), Mock(), Mock())
    served = {
        inference_service.SERVICE: inference.methods(),
        model_service.SERVICE: model_service.ModelService(Mock()).methods(),
        admin_service.SERVICE: admin_service.AdminService({}, Mock()).methods(),
    }
    missing: set[str] = set()
    for file in (inference_service_pb2, model_service_pb2, media_service_pb2, admin_service_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            methods = served.get(service.full_name)
            if methods is None:
                missing.add(service.full_name)
                continue
            rpcs = {rpc.name for rpc in service.methods}
            missing |= {f"{service.full_name}/{name}" for name in rpcs - methods.keys()}

    assert {feature for feature in ROWS if feature.startswith("facet.v1.")} == missing
