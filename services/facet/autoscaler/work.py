"""Amounts of work: requests and their tokens, the unit-free side of seconds of pod time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Modality(StrEnum):
    """What prompt tokens stand for; they cost differently."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


@dataclass(frozen=True)
class Work:
    """So many requests with their tokens together.

    `prompt_tokens` are those that have to be computed: cached ones are not in it. `output_tokens`
    are expected, or known where the work is done.
    """

    requests: float = 0.0
    prompt_tokens: Mapping[Modality, float] = field(default_factory=dict)
    output_tokens: float = 0.0

    def __add__(self, other: Work) -> Work:
        """Both together."""
        kinds = {**self.prompt_tokens, **other.prompt_tokens}
        return Work(
            self.requests + other.requests,
            {
                kind: self.prompt_tokens.get(kind, 0.0) + other.prompt_tokens.get(kind, 0.0)
                for kind in kinds
            },
            self.output_tokens + other.output_tokens,
        )

    def scaled(self, factor: float) -> Work:
        """`factor` times as much of each."""
        prompts = {kind: tokens * factor for kind, tokens in self.prompt_tokens.items()}
        return Work(self.requests * factor, prompts, self.output_tokens * factor)
