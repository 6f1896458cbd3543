"""Requests from keyword arguments."""

import pytest

import facet
from facet.api.v1 import content_pb2, generation_pb2
from facet.client.request import GenerateOptions, build_request, timeout_of

pytestmark = pytest.mark.unit


def test_unset_options_stay_unset_when_a_request_is_built() -> None:
    request = build_request("hello", {})

    assert request == generation_pb2.GenerationRequest(
        contents=[facet.user_turn("hello")],
        generation_config=generation_pb2.GenerationConfig(),
    )
    assert not request.generation_config.HasField("temperature")


def test_zero_is_sent_when_it_is_given() -> None:
    config = build_request("hello", {"temperature": 0.0, "seed": 0}).generation_config

    assert config.HasField("temperature")
    assert config.HasField("seed")


def test_every_option_reaches_its_field_when_given() -> None:
    options: GenerateOptions = {
        "model": "nano",
        "system": "be brief",
        "tools": [facet.function("f", description="d", parameters={"type": "object"})],
        "tool_mode": "any",
        "allowed_functions": ["f"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "max_output_tokens": 7,
        "min_output_tokens": 2,
        "stop_sequences": ["x"],
        "seed": 3,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "repetition_penalty": 1.1,
        "response_json_schema": {"type": "object"},
        "thinking": True,
        "thinking_budget_tokens": 9,
        "media_resolution_tokens": 70,
        "priority": "interactive",
        "session_id": "s",
        "request_id": "r",
        "on_disconnect": "continue",
        "accept_restart": True,
        "timeout_seconds": 4.0,
    }

    request = build_request("hello", options)

    assert request.model == "nano"
    assert request.system_instruction.parts[0].text == "be brief"
    assert request.tools[0].function_declarations[0].parameters["type"] == "object"
    assert request.tool_config.mode == content_pb2.FUNCTION_CALLING_MODE_ANY
    assert list(request.tool_config.allowed_function_names) == ["f"]
    config = request.generation_config
    assert (config.temperature, config.top_p, config.top_k) == (0.5, 0.9, 5)
    assert (config.max_output_tokens, config.min_output_tokens, config.seed) == (7, 2, 3)
    assert list(config.stop_sequences) == ["x"]
    assert (config.presence_penalty, config.frequency_penalty) == (0.1, 0.2)
    assert config.repetition_penalty == 1.1
    assert config.response_json_schema["type"] == "object"
    assert config.thinking == generation_pb2.ThinkingConfig(
        enabled=True, budget_tokens=9, include_thoughts=True
    )
    assert config.media_resolution_tokens == 70
    assert request.priority == generation_pb2.PRIORITY_INTERACTIVE
    assert (request.session_id, request.request_id) == ("s", "r")
    assert request.on_disconnect == generation_pb2.ON_DISCONNECT_CONTINUE
    assert request.accept_restart
    assert timeout_of(options) == 4.0


def test_choices_become_the_response_format_when_given() -> None:
    config = build_request("hello", {"response_choices": ["yes", "no"]}).generation_config

    assert config.WhichOneof("response_format") == "response_choice"
    assert list(config.response_choice.choices) == ["yes", "no"]


def test_a_request_is_refused_when_an_option_is_unknown() -> None:
    with pytest.raises(TypeError, match="temprature"):
        build_request("hello", {"temprature": 1.0})  # type: ignore[typeddict-unknown-key]


def test_a_request_is_refused_when_a_choice_is_unknown() -> None:
    with pytest.raises(ValueError, match="interactive, standard, batch"):
        build_request("hello", {"priority": "urgent"})  # type: ignore[typeddict-item]


def test_a_deadline_is_set_when_none_is_given() -> None:
    assert timeout_of({}) == 300.0
