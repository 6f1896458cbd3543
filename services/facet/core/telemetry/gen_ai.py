"""Attributes of spans by the semantic conventions for generative AI; never content."""

from __future__ import annotations

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.util.types import AttributeValue

from facet.api.v1 import event_pb2, generation_pb2

PROVIDER = "facet"
OPERATION = "chat"

GENERATION_ID = gen_ai.GEN_AI_RESPONSE_ID
TIME_TO_FIRST_CHUNK = gen_ai.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK
INPUT_MESSAGES = gen_ai.GEN_AI_INPUT_MESSAGES
OUTPUT_MESSAGES = gen_ai.GEN_AI_OUTPUT_MESSAGES

_SAMPLING = {
    "temperature": gen_ai.GEN_AI_REQUEST_TEMPERATURE,
    "top_p": gen_ai.GEN_AI_REQUEST_TOP_P,
    "top_k": gen_ai.GEN_AI_REQUEST_TOP_K,
    "seed": gen_ai.GEN_AI_REQUEST_SEED,
    "max_output_tokens": gen_ai.GEN_AI_REQUEST_MAX_TOKENS,
    "presence_penalty": gen_ai.GEN_AI_REQUEST_PRESENCE_PENALTY,
    "frequency_penalty": gen_ai.GEN_AI_REQUEST_FREQUENCY_PENALTY,
    "candidate_count": gen_ai.GEN_AI_REQUEST_CHOICE_COUNT,
}


def request_attributes(request: generation_pb2.GenerationRequest) -> dict[str, AttributeValue]:
    """What is asked for: the model, and of the configuration what is set."""
    attributes: dict[str, AttributeValue] = {
        gen_ai.GEN_AI_OPERATION_NAME: OPERATION,
        gen_ai.GEN_AI_PROVIDER_NAME: PROVIDER,
        gen_ai.GEN_AI_REQUEST_MODEL: request.model,
    }
    if request.session_id:
        attributes[gen_ai.GEN_AI_CONVERSATION_ID] = request.session_id
    for descriptor, value in request.generation_config.ListFields():
        if descriptor.name in _SAMPLING:
            attributes[_SAMPLING[descriptor.name]] = value
    return attributes


def answer_attributes(finished: event_pb2.Finished) -> dict[str, AttributeValue]:
    """Why it ended, and what it took, all attempts together."""
    usage = finished.usage
    reason = generation_pb2.FinishReason.Name(finished.finish_reason)
    return {
        gen_ai.GEN_AI_RESPONSE_FINISH_REASONS: (reason.removeprefix("FINISH_REASON_").lower(),),
        gen_ai.GEN_AI_USAGE_INPUT_TOKENS: usage.prompt_token_count,
        gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: usage.candidates_token_count
        + usage.thoughts_token_count,
        gen_ai.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: usage.thoughts_token_count,
        gen_ai.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: usage.cached_content_token_count,
    }
