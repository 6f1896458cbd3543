"""A model as the server describes it."""

from __future__ import annotations

from dataclasses import dataclass

from facet.api.v1 import model_service_pb2
from facet.client.events import decode_modality


@dataclass(frozen=True)
class Model:
    """Limits and capabilities. `input_modalities` are of text, image, audio and video."""

    name: str
    description: str
    context_tokens: int
    max_output_tokens: int
    input_modalities: tuple[str, ...]
    supports_thinking: bool
    supports_tools: bool
    speculative_tokens: int
    adapters: tuple[str, ...]
    live_workers: int
    max_images: int
    max_audios: int
    max_videos: int


def decode_model(model: model_service_pb2.Model) -> Model:
    """The typed form of the message."""
    return Model(
        name=model.name,
        description=model.description,
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        input_modalities=tuple(decode_modality(modality) for modality in model.input_modalities),
        supports_thinking=model.supports_thinking,
        supports_tools=model.supports_tools,
        speculative_tokens=model.speculative_tokens,
        adapters=tuple(model.adapters),
        live_workers=model.live_workers,
        max_images=model.max_images,
        max_audios=model.max_audios,
        max_videos=model.max_videos,
    )
