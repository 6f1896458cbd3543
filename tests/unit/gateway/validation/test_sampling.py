"""Sampling and output options."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from facet.api.v1.generation_pb2 import Choices, GenerationConfig, ThinkingConfig
from facet.core.models import NANO
from facet.gateway.validation.findings import Findings
from facet.gateway.validation.sampling import check_generation_config
from tests.unit.gateway.validation.cases import configured, unserved, wrong_fields

pytestmark = pytest.mark.unit

PATH = "request.generation_config"
MOST = NANO.max_output_tokens


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.0},
        {"temperature": 2.0, "top_p": 1.0, "top_k": 0, "seed": -(2**63)},
        {"top_p": 1e-9, "top_k": 2**32 - 1, "min_p": 0.0},
        {"max_output_tokens": 1, "min_output_tokens": 1},
        {"max_output_tokens": MOST, "min_output_tokens": 0},
        {"stop_sequences": ["\n", "ü" * 128] * 8},
        {"presence_penalty": -2.0, "frequency_penalty": 2.0, "repetition_penalty": 2.0},
        {"candidate_count": 1},
        {"candidate_count": 8},
        {"thinking": ThinkingConfig(enabled=True, include_thoughts=True)},
    ],
)
def test_options_are_accepted_when_within_bounds(fields: dict[str, Any]) -> None:
    assert wrong_fields(configured(**fields)) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -100.0, 100.0])
@pytest.mark.parametrize(
    "name",
    ["temperature", "top_p", "presence_penalty", "frequency_penalty", "repetition_penalty"],
)
def test_field_is_named_when_a_number_is_not_finite_or_out_of_range(
    name: str, value: float
) -> None:
    assert wrong_fields(configured(**{name: value})) == [f"{PATH}.{name}"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"temperature": 2.001}, ["temperature"]),
        ({"temperature": -0.001}, ["temperature"]),
        ({"top_p": 0.0}, ["top_p"]),
        ({"top_p": 1.001}, ["top_p"]),
        ({"repetition_penalty": 0.0}, ["repetition_penalty"]),
        ({"min_p": 0.1}, ["min_p"]),
        ({"min_p": math.nan}, ["min_p"]),
        ({"max_output_tokens": 0}, ["max_output_tokens"]),
        ({"max_output_tokens": MOST + 1}, ["max_output_tokens"]),
        ({"max_output_tokens": 5, "min_output_tokens": 6}, ["min_output_tokens"]),
        ({"min_output_tokens": MOST + 1}, ["min_output_tokens"]),
        ({"stop_sequences": ["a"] * 17}, ["stop_sequences"]),
        ({"stop_sequences": ["a", ""]}, ["stop_sequences[1]"]),
        ({"stop_sequences": ["ü" * 129]}, ["stop_sequences[0]"]),
        ({"candidate_count": 0}, ["candidate_count"]),
        ({"candidate_count": 9}, ["candidate_count"]),
        ({"logprobs": 1}, ["logprobs"]),
        ({"logprobs": 21, "response_logprobs": True}, ["logprobs"]),
        ({"media_resolution_tokens": 71}, ["media_resolution_tokens"]),
    ],
)
def test_field_is_named_when_it_is_out_of_bounds(fields: dict[str, Any], wrong: list[str]) -> None:
    assert wrong_fields(configured(**fields)) == [f"{PATH}.{name}" for name in wrong]


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"response_logprobs": True}, "response_logprobs"),
        ({"response_json_schema": Struct()}, "response_json_schema"),
        ({"response_regex": ""}, "response_regex"),
        ({"response_choice": Choices(choices=["a"])}, "response_choice"),
        ({"response_grammar": "root ::= x"}, "response_grammar"),
        ({"thinking": ThinkingConfig(enabled=True, budget_tokens=9)}, "thinking.budget_tokens"),
        ({"media_resolution_tokens": 280}, "media_resolution_tokens"),
    ],
)
def test_field_is_named_when_it_is_not_served(fields: dict[str, Any], feature: str) -> None:
    assert unserved(configured(**fields)) == f"{PATH}.{feature}"


def test_thinking_is_refused_when_the_model_does_not_think() -> None:
    findings = Findings()
    card = dataclasses.replace(NANO, supports_thinking=False)
    config = GenerationConfig(thinking=ThinkingConfig(enabled=True))
    check_generation_config(config, card, findings)
    assert [v.field for v in findings.violations] == [f"{PATH}.thinking.enabled"]
