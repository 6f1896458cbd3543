"""Generation config to vLLM's sampling parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from vllm.exceptions import VLLMClientError
from vllm.sampling_params import RequestOutputKind, SamplingParams

from facet.api.v1 import generation_pb2
from facet.core.errors import InvalidRequestError, UnresumableError

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
