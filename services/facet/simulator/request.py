"""One simulated request, from its arrival to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from facet.queue.values import Priority


class Decoding(NamedTuple):
    """Clocks of an engine when a request began to decode, or what passed of them since."""

    seconds: float
    steps: float
    batch: float


_NOT_YET = Decoding(0.0, 0.0, 0.0)


@dataclass(slots=True, eq=False)
class Request:
    """What arrives, and what became of it.

    `media_tokens` are the part of `prompt_tokens` by letter of `facet.queue.values.Needs.media`.
    `first_token_seconds` is when its first token came, negative before. `given_tokens` are those
    that were given, all attempts together, and `claimed_tokens` how many they were when the attempt
    began; the engine took it at `started_seconds`.
    """

    arrived_seconds: float
    prompt_tokens: int
    output_tokens: int
    priority: Priority = Priority.INTERACTIVE
    media: str = ""
    media_tokens: int = 0
    max_output_tokens: int = 1024
    name: str = ""
    charged_tokens: int = 0
    is_alone: bool = False
    given_tokens: int = 0
    claimed_tokens: int = 0
    first_token_seconds: float = -1.0
    started_seconds: float = 0.0
    decoding: Decoding = _NOT_YET
