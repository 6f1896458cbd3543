"""Generation config to vLLM's sampling parameters, and what of it is not served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from vllm.exceptions import VLLMClientError
from vllm.sampling_params import RequestOutputKind, SamplingParams

from facet.api.v1 import content_pb2, generation_pb2
from facet.core.errors import InvalidRequestError, NotServedError, UnresumableError

_OPTIONAL: tuple[
    Literal[
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "min_p",
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
    "min_p",
)


def refuse_unserved(request: generation_pb2.GenerationRequest, *, is_speculative: bool) -> None:
    """Raise NotServedError for features that this worker does not serve."""
    config = request.generation_config
    if config.candidate_count > 1:
        raise NotServedError.of("request.generation_config.candidate_count")
    if response_format := config.WhichOneof("response_format"):
        raise NotServedError.of(f"request.generation_config.{response_format}")
    if config.response_logprobs:
        raise NotServedError.of("request.generation_config.response_logprobs")
    if config.thinking.budget_tokens:
        raise NotServedError.of("request.generation_config.thinking.budget_tokens")
    if request.adapter:
        raise NotServedError.of("request.adapter")
    if request.tool_config.mode == content_pb2.FUNCTION_CALLING_MODE_ANY:
        raise NotServedError.of("request.tool_config.mode")
    if is_speculative and config.min_p:
        raise InvalidRequestError.of(
            "request.generation_config.min_p", "not possible with speculative decoding"
        )


def sampling_params(
    config: generation_pb2.GenerationConfig,
    *,
    defaults: Mapping[str, Any],
    max_tokens: int,
    emitted: int,
) -> SamplingParams:
    """Parameters of what is left after `emitted` ids.

    `defaults` are the checkpoint's own for unset fields; `max_tokens` counts from the beginning of
    the output. Errors: UnresumableError for penalties that count output ids, which the engine would
    take for prompt ids; InvalidRequestError for values that vLLM refuses.
    """
    if emitted and (config.presence_penalty or config.frequency_penalty):
        raise UnresumableError("presence and frequency penalties cannot be continued")
    values: dict[str, Any] = {name: defaults[name] for name in _OPTIONAL if name in defaults}
    for name in _OPTIONAL:
        if config.HasField(name):
            values[name] = getattr(config, name)
    try:
        return SamplingParams(
            **values,
            max_tokens=max_tokens - emitted,
            min_tokens=max(0, config.min_output_tokens - emitted),
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )
    except (VLLMClientError, ValueError) as error:
        raise InvalidRequestError.of("request.generation_config", str(error)) from error
