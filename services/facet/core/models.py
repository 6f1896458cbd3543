"""The models that a deployment serves, as configured: known even while no worker runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from facet.profiles import gemma4
from facet.profiles.catalogue import BF16, GEMMA, NANO_CPU

NANO_DESCRIPTION = (
    "Test model of a few million parameters, for trying Facet: copies and reverses phrases, "
    "answers a dozen facts, names colour and shape in an image, dialled digits in audio, "
    "order of colours in a video."
)


@dataclass(frozen=True)
class ModelCard:
    """Limits and capabilities of one model.

    `context_tokens` counts prompt and output together. Media limits are per prompt.
    """

    name: str
    description: str
    context_tokens: int
    max_output_tokens: int
    max_images: int
    max_audios: int
    max_videos: int
    supports_thinking: bool
    supports_tools: bool
    speculative_tokens: int


NANO = ModelCard(
    name=NANO_CPU.model,
    description=NANO_DESCRIPTION,
    context_tokens=NANO_CPU.engine.max_context_tokens,
    max_output_tokens=2048,
    max_images=4,
    max_audios=4,
    max_videos=2,
    supports_thinking=True,
    supports_tools=True,
    speculative_tokens=NANO_CPU.engine.speculative_tokens,
)

GEMMA_12B = ModelCard(
    name=GEMMA,
    description="Gemma 4 12B, instruction-tuned: text, images, audio and video in, text out.",
    context_tokens=gemma4.MAX_CONTEXT_TOKENS,
    max_output_tokens=8192,
    max_images=8,
    max_audios=8,
    # Five minutes at one frame a second, in items of 16 frames.
    max_videos=20,
    supports_thinking=True,
    supports_tools=True,
    speculative_tokens=BF16.engine.speculative_tokens,
)

CARDS: Mapping[str, ModelCard] = MappingProxyType({card.name: card for card in (NANO, GEMMA_12B)})
"""All models, by name."""
