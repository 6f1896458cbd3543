"""What a worker needs of an engine: render a request, generate ids, turn ids into pieces of answer.

The ids are the authority. `Decoder` is a deterministic function of the prompt and all ids, fed one
id at a time, so that a continuation on another worker replays the logged ids and stands exactly
where the lost one stood.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from facet.api.v1 import generation_pb2


class EngineFinish(Enum):
    """Why the engine stopped."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True)
class Medium:
    """One decoded-to-be medium: the bytes as uploaded, with their checked type."""

    mime_type: str
    sha256: bytes
    data: bytes


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt.

    `engine_input` is what the adapter feeds its engine (opaque to the worker). `modality_tokens`
    maps `facet.v1.Modality` values to token counts; their sum is `token_count`.
    """

    token_count: int
    modality_tokens: Mapping[int, int]
    engine_input: Any


@dataclass(frozen=True)
class TokenLogprob:
    """Log probability of one chosen id, and of the best alternatives (id, text, logprob)."""

    token_id: int
    token: str
    logprob: float
    top: tuple[tuple[int, str, float], ...] = ()


@dataclass(frozen=True)
class EngineTimes:
    """What the engine itself measured of one candidate so far, in seconds.

    It waited in the engine's own queue, was prefilled to its first id, and decoded from there on.
    """

    queue_seconds: float
    prefill_seconds: float
    decode_seconds: float
    preemptions: int = 0


@dataclass(frozen=True)
class StartTimes:
    """What parts of an engine's start took, in seconds; 0 where the engine does not tell.

    `load_seconds` is reading weights, `warm_up_seconds` what follows: profiling memory, making
    caches, compiling.
    """

    load_seconds: float = 0.0
    warm_up_seconds: float = 0.0


@dataclass(frozen=True)
class Step:
    """New ids of one request, usually those of one engine step.

    `drafted_tokens` and `accepted_tokens` count the drafter's proposals of these steps; summed over
    a whole request they equal the engine's own counters, where the engine ended the request itself
    (the last step may carry a negative correction).
    `finish` is set on the last step, which may bring no id. `cached_prompt_tokens` is set on the
    first step, `engine_times` on the first and the last one where the engine tells them.
    """

    token_ids: tuple[int, ...]
    finish: EngineFinish | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    cached_prompt_tokens: int = 0
    engine_times: EngineTimes | None = None


@dataclass(frozen=True)
class TextPiece:
    """A piece of the answer: complete characters."""

    text: str


@dataclass(frozen=True)
class ThoughtPiece:
    """A piece of the thoughts: complete characters."""

    text: str


@dataclass(frozen=True)
class CallPiece:
    """A complete function call; `arguments` is a JSON object as text."""

    call_id: str
    name: str
    arguments: str


Piece = TextPiece | ThoughtPiece | CallPiece


@dataclass(frozen=True)
class Decoded:
    """What an id brought.

    `stop_sequence` is set when the id completed one: generation ends there, what follows does not
    count.
    """

    pieces: tuple[Piece, ...] = ()
    stop_sequence: str | None = None


class Decoder(Protocol):
    """Detokenizer, stop matcher, thought and tool parser of one request."""

    @property
    def thought_token_count(self) -> int:
        """Ids so far that are thoughts; exact after `finish`."""

    def push(self, token_id: int) -> Decoded:
        """Account for the next id."""

    def finish(self) -> Decoded:
        """Release what is withheld when generation has ended without a stop sequence."""


class Engine(Protocol):
    """One model, loaded.

    Errors of `render` are FacetErrors that the request is ended with. `generate` raises
    FacetErrors for this request alone, EngineDeadError when the whole engine is gone.
    """

    @property
    def fingerprint(self) -> str:
        """Equal only for engines whose greedy continuation of the same ids is the same."""

    @property
    def capacity(self) -> int:
        """Candidates that it runs at once."""

    @property
    def context_tokens(self) -> int:
        """Prompt and output tokens together, at most."""

    @property
    def kv_tokens(self) -> int:
        """Tokens of KV cache, all requests together; not before `start`."""

    async def start(self) -> StartTimes:
        """Load; returns when requests can be served. Errors: EngineSettingsError."""

    async def stop(self) -> None:
        """Release everything."""

    async def check(self) -> None:
        """Raise EngineDeadError when the engine can no longer serve."""

    async def probe(self) -> None:
        """Return when the engine has generated one id of a tiny request; a hung one never does.

        The request takes a seat like any other. Cancelling it ends it in the engine. Errors:
        EngineDeadError; a FacetError when the engine failed on it.
        """

    async def rehearse(self, count: Callable[[int, int], None]) -> None:
        """Answer the prompts of `facet.worker.engine.rehearsal`, all at once.

        `count` gets drafted and accepted tokens as they are made, as in `Step`. Cancelling it ends
        them in the engine. Errors: EngineDeadError; a FacetError when the engine failed on one.
        """

    async def render(
        self, request: generation_pb2.GenerationRequest, media: Sequence[Medium], tenant: str
    ) -> Prompt:
        """Turn contents into a prompt. Media belong to the media parts in order of appearance.

        Prompt and output fit the context when this returns.
        """

    def can_resume(self, request: generation_pb2.GenerationRequest) -> bool:
        """Whether `generate` continues emitted ids of this request exactly."""

    def decoder(self, request: generation_pb2.GenerationRequest, prompt: Prompt) -> Decoder:
        """A new decoder at the beginning of the output."""

    def generate(
        self,
        generation_id: str,
        request: generation_pb2.GenerationRequest,
        prompt: Prompt,
        emitted: Sequence[int],
        candidate: int = 0,
    ) -> AsyncGenerator[Step, None]:
        """Generate one candidate after prompt + `emitted`; limits count from its beginning.

        Candidates of one generation may run at once. With a seed each takes one of its own.

        Closing the iterator ends the request in the engine. `emitted` is empty unless
        `can_resume`.
        """

    def running(self) -> int:
        """Candidates inside the engine."""


class EngineDeadError(Exception):
    """The engine is gone or hangs; the worker must exit so that its leases lapse."""


class EngineSettingsError(Exception):
    """The engine cannot serve with these settings; the text tells the operator which and why."""
