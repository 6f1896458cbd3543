"""Generation config to vLLM's sampling parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from vllm.exceptions import VLLMClientError
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

from facet.api.v1 import generation_pb2
from facet.core.errors import InvalidRequestError, UnresumableError
from facet.worker.engine.conversation import plain_data
from facet.worker.engine.vllm_resume import EMITTED

_OPTIONAL: tuple[
    Literal[
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
    ],
    ...,
] = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
)


def sampling_params(
    config: generation_pb2.GenerationConfig,
    *,
    defaults: Mapping[str, Any],
    max_tokens: int,
    emitted: int,
    candidate: int = 0,
    restores_state: bool,
) -> SamplingParams:
    """Parameters of what is left after `emitted` ids, which stand at the end of the prompt.

    `defaults` are the checkpoint's own for unset fields; `max_tokens` counts from the beginning of
    the output; `candidate` is added to a seed; `restores_state` tells whether the engine can take
    prompt ids for output. Errors: UnresumableError where it would have to and cannot;
    InvalidRequestError for values that vLLM refuses.
    """
    values: dict[str, Any] = {name: defaults[name] for name in _OPTIONAL if name in defaults}
    for name in _OPTIONAL:
        if config.HasField(name):
            values[name] = getattr(config, name)
    if "seed" in values:
        values["seed"] = _in_64_bits(values["seed"] + candidate)
    if config.response_logprobs:
        values["logprobs"] = config.logprobs
    if (response_format := config.WhichOneof("response_format")) is not None:
        values["structured_outputs"] = _structured_outputs(config, response_format)
    as_prompt = emitted
    if emitted and _depends_on_output(values):
        if not restores_state:
            raise UnresumableError("this engine cannot restore penalties and constrained output")
        values["extra_args"] = {EMITTED: emitted}
        as_prompt = 0
    try:
        return SamplingParams(
            **values,
            max_tokens=max_tokens - as_prompt,
            min_tokens=max(0, config.min_output_tokens - as_prompt),
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )
    except (VLLMClientError, ValueError) as error:
        raise InvalidRequestError.of("request.generation_config", str(error)) from error


def _in_64_bits(seed: int) -> int:
    return (seed + (1 << 63)) % (1 << 64) - (1 << 63)


def _depends_on_output(values: Mapping[str, Any]) -> bool:
    """Whether vLLM needs to know which ids are output. Others continue as a longer prompt."""
    names = ("presence_penalty", "frequency_penalty", "structured_outputs")
    return any(values.get(name) for name in names)


def _structured_outputs(
    config: generation_pb2.GenerationConfig, response_format: str
) -> StructuredOutputsParams:
    if response_format == "response_json_schema":
        # Protobuf gives the members of an object in any order; every worker needs the same grammar.
        schema = plain_data(config.response_json_schema)
        return StructuredOutputsParams(json=json.dumps(schema, sort_keys=True))
    if response_format == "response_regex":
        return StructuredOutputsParams(regex=config.response_regex)
    if response_format == "response_choice":
        return StructuredOutputsParams(choice=list(config.response_choice.choices))
    return StructuredOutputsParams(grammar=config.response_grammar)
