"""The models that a deployment serves, as configured: known even while no worker runs."""

from __future__ import annotations

from dataclasses import dataclass

from facet.profiles.catalogue import NANO_CPU

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
