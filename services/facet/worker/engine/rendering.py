"""Requests to engine inputs with vLLM's own template code, tokenizer and media processor."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from vllm.exceptions import VLLMClientError, VLLMValidationError
from vllm.renderers.hf import safe_apply_chat_template

from facet.api.v1 import generation_pb2
from facet.core.errors import ContextExceededError, FacetError, InvalidRequestError
from facet.core.models import ModelCard
from facet.worker.engine.conversation import Conversation, build_conversation
from facet.worker.engine.media_decode import DecodedMedium, MediaDecoder
from facet.worker.engine.port import Medium, Prompt

_CONTENTS = "request.contents"
_MAX_OUTPUT = "request.generation_config.max_output_tokens"
_MODALITIES = {
    "image": generation_pb2.MODALITY_IMAGE,
    "audio": generation_pb2.MODALITY_AUDIO,
    "video": generation_pb2.MODALITY_VIDEO,
}


class Renderer:
    """Renders requests of one model.

    `engine` is a vLLM AsyncLLM; its renderer, tokenizer and model config are used, so the prompt is
    what vLLM's own server would make of the same messages.
    """

    def __init__(self, engine: Any, card: ModelCard, decoder: MediaDecoder) -> None:
        self._renderer = engine.renderer
        self._model_config = engine.model_config
        self._card = card
        self._decoder = decoder

    async def render(
        self, request: generation_pb2.GenerationRequest, media: Sequence[Medium], tenant: str
    ) -> Prompt:
        """See `Engine.render`; `engine_input` is vLLM's EngineInput."""
        kinds = [medium.mime_type.partition("/")[0] for medium in media]
        conversation = build_conversation(request, kinds)
        decoded = await self._decoder.decode(media, conversation.media_paths)
        try:
            text = await asyncio.to_thread(self._apply_template, conversation, request)
            prompt = _text_prompt(text, decoded, media, tenant)
            (engine_input,) = await self._renderer.render_cmpl_async([prompt])
        except (VLLMClientError, ValueError, AssertionError) as error:
            # vLLM's media processor checks its input with assertions.
            raise _as_invalid(error) from error
        return self._checked(engine_input, request)

    def output_limit(
        self, request: generation_pb2.GenerationRequest, prompt_token_count: int
    ) -> int:
        """Output tokens at most: as asked for, else what context and model leave."""
        if request.generation_config.HasField("max_output_tokens"):
            return request.generation_config.max_output_tokens
        return min(self._card.max_output_tokens, self._card.context_tokens - prompt_token_count)

    def _apply_template(
        self, conversation: Conversation, request: generation_pb2.GenerationRequest
    ) -> str:
        text = safe_apply_chat_template(
            self._model_config,
            self._renderer.get_tokenizer(),
            conversation.messages,
            tools=conversation.tools or None,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=request.generation_config.thinking.enabled,
        )
        return str(text)

    def _checked(
        self, engine_input: Mapping[str, Any], request: generation_pb2.GenerationRequest
    ) -> Prompt:
        count = len(engine_input["prompt_token_ids"])
        room = self._card.context_tokens - count
        if room < 1:
            raise ContextExceededError.of(
                _CONTENTS, f"{count} prompt tokens, the context is {self._card.context_tokens}"
            )
        if self.output_limit(request, count) > room:
            raise ContextExceededError.of(
                _MAX_OUTPUT, f"{count} prompt tokens leave {room} tokens of context"
            )
        modality_tokens: dict[int, int] = {
            _MODALITIES[kind]: sum(place.length for place in places)
            for kind, places in (engine_input.get("mm_placeholders") or {}).items()
        }
        text_tokens = count - sum(modality_tokens.values())
        return Prompt(
            token_count=count,
            modality_tokens={generation_pb2.MODALITY_TEXT: text_tokens, **modality_tokens},
            engine_input=engine_input,
        )


def _text_prompt(
    text: str, decoded: Sequence[DecodedMedium], media: Sequence[Medium], tenant: str
) -> dict[str, Any]:
    prompt: dict[str, Any] = {
        "prompt": text,
        # Another tenant must not learn from timing which prefixes are cached.
        "cache_salt": hashlib.sha256(tenant.encode()).hexdigest(),
    }
    if decoded:
        data: dict[str, list[Any]] = {}
        uuids: dict[str, list[str]] = {}
        for item, medium in zip(decoded, media, strict=True):
            data.setdefault(item.kind, []).append(item.data)
            uuids.setdefault(item.kind, []).append(media_uuid(tenant, medium.sha256, item.recipe))
        prompt |= {"multi_modal_data": data, "multi_modal_uuids": uuids}
    return prompt


def media_uuid(tenant: str, sha256: bytes, recipe: str) -> str:
    """VLLM's id of a decoded medium.

    vLLM trusts it: equal ids yield the first input's result, so everything that decides what the
    model sees is in it.
    """
    digest = hashlib.sha256()
    for field in (tenant.encode(), sha256, recipe.encode()):
        digest.update(len(field).to_bytes(4) + field)
    return digest.hexdigest()


def _as_invalid(error: Exception) -> FacetError:
    if isinstance(error, VLLMValidationError) and error.parameter in ("input_tokens", "input_text"):
        return ContextExceededError.of(_CONTENTS, str(error))
    return InvalidRequestError.of(_CONTENTS, f"cannot be rendered: {error}")
