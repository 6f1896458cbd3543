"""What a request is expected to cost, what it needs of a worker and what may be warm for it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from facet.api.queue.v1.envelope_pb2 import MediaItem
from facet.api.v1.generation_pb2 import GenerationRequest
from facet.core.models import ModelCard
from facet.queue.values import Needs

BYTES_PER_TOKEN = 4
"""Of text, about; the queue only compares requests by it."""

IMAGE_TOKENS = 280
"""Of one image at Gemma 4's default resolution."""

VIDEO_TOKENS = 16 * 70
"""Of one video: nothing here tells its length, so as many frames as are taken of a long one."""

AUDIO_TOKENS_PER_SECOND = 25
AUDIO_BYTES_PER_SECOND = {"audio/wav": 32_000, "audio/flac": 16_000}
"""16 kHz mono of 16 bits, and its half; its duration is told by its size only."""

PACKED_AUDIO_BYTES_PER_SECOND = 8_000
"""The same of lossy types: 64 kbit/s."""

MAX_AUDIO_SECONDS = 30
"""Longer audio is refused by the worker; at a higher rate the same bytes last shorter."""

PLAIN_ENVELOPE_VERSION = 1
CANDIDATES_ENVELOPE_VERSION = 2
"""Of requests with several candidates, which not every worker that reads 1 knows of."""

PREFIX_BYTES = 1024
"""A shorter beginning is not worth a worker: engines cache whole blocks, of up to 256 tokens."""

SMALLEST_BUCKET = 1024
MAX_AFFINE_MEDIA = 2


@dataclass(frozen=True)
class Load:
    """The fields of `facet.queue.port.Submission` of the same names."""

    prompt_tokens: int
    max_output_tokens: int
    sequences: int
    needs: Needs
    affinity: tuple[str, ...]


def load_of(
    request: GenerationRequest, media: Sequence[MediaItem], card: ModelCard, tenant: str
) -> Load:
    """Estimates of a validated request. The worker counts exactly; nothing is refused here."""
    prompt_tokens = _text_tokens(request) + sum(map(_media_tokens, media))
    asked = request.generation_config.max_output_tokens
    most = asked or card.max_output_tokens
    sequences = max(1, request.generation_config.candidate_count)
    needs = Needs(
        envelope_version=envelope_version(request),
        # An answer whose length nobody asked for takes what the worker's context leaves.
        context_tokens=min(_bucket(prompt_tokens + asked), card.context_tokens),
        media="".join(sorted({item.mime_type[0] for item in media})),
        adapter=request.adapter,
    )
    affinity = tuple(_affinity(request, media, tenant))
    return Load(max(1, prompt_tokens), max(1, most), sequences, needs, affinity)


def envelope_version(request: GenerationRequest) -> int:
    """The oldest version of the envelope that says all of the request."""
    if request.generation_config.candidate_count > 1:
        return CANDIDATES_ENVELOPE_VERSION
    return PLAIN_ENVELOPE_VERSION


def _text_tokens(request: GenerationRequest) -> int:
    turns = [request.system_instruction, *request.contents]
    size = sum(tool.ByteSize() for tool in request.tools)
    for part in (part for turn in turns for part in turn.parts):
        kind = part.WhichOneof("data")
        if kind == "text":
            size += len(part.text.encode())
        elif kind in ("function_call", "function_response"):
            size += part.ByteSize()
    return math.ceil(size / BYTES_PER_TOKEN)


def _media_tokens(item: MediaItem) -> int:
    kind = item.mime_type.partition("/")[0]
    if kind == "image":
        return IMAGE_TOKENS
    if kind == "video":
        return VIDEO_TOKENS
    rate = AUDIO_BYTES_PER_SECOND.get(item.mime_type, PACKED_AUDIO_BYTES_PER_SECOND)
    seconds = min(item.size_bytes / rate, MAX_AUDIO_SECONDS)
    return math.ceil(seconds * AUDIO_TOKENS_PER_SECOND)


def _bucket(tokens: int) -> int:
    """The smallest power of two that holds them: workers with less context do not claim it."""
    return max(SMALLEST_BUCKET, 1 << (tokens - 1).bit_length())


def _affinity(request: GenerationRequest, media: Sequence[MediaItem], tenant: str) -> Iterable[str]:
    if request.session_id:
        yield f"s:{_digest(tenant, request.session_id.encode())}"
    for item in media[:MAX_AFFINE_MEDIA]:
        yield f"m:{_digest(tenant, item.sha256)}"
    shared = _bytes_of([request.system_instruction, *request.tools])
    prefix = shared + _bytes_of(request.contents[:1])
    has_prefix = shared or len(request.contents) > 1 or len(prefix) >= PREFIX_BYTES
    if has_prefix:
        yield f"p:{_digest(tenant, prefix)}"
    # What many conversations begin with; the weakest name, so that it never parts one of them.
    if len(shared) >= PREFIX_BYTES:
        yield f"i:{_digest(tenant, shared)}"


def _bytes_of(messages: Iterable[Message]) -> bytes:
    return b"".join(message.SerializeToString(deterministic=True) for message in messages)


def _digest(tenant: str, data: bytes) -> str:
    return hashlib.sha256(f"{len(tenant)}:{tenant}".encode() + data).hexdigest()[:16]
