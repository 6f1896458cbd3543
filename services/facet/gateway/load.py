"""What a request is expected to cost, what it needs of a worker and what may be warm for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from facet.api.queue.v1.envelope_pb2 import MediaItem
from facet.api.v1.generation_pb2 import GenerationRequest
from facet.core.models import ModelCard
from facet.queue.port import Needs

BYTES_PER_TOKEN = 4
"""Of text, about; the queue only compares requests by it."""

TOKENS_PER_MEDIUM = {"image": 280, "audio": 250, "video": 1120}
"""Of one medium at Gemma 4's default resolution; audio of 10 s, video of 16 frames."""

SMALLEST_BUCKET = 1024
MAX_AFFINE_MEDIA = 2


@dataclass(frozen=True)
class Load:
    """The fields of `facet.queue.port.Submission` of the same names."""

    prompt_tokens: int
    max_output_tokens: int
    needs: Needs
    affinity: tuple[str, ...]


def load_of(
    request: GenerationRequest, media: Sequence[MediaItem], card: ModelCard, tenant: str
) -> Load:
    """Estimates of a validated request. The worker counts exactly; nothing is refused here."""
    kinds = [item.mime_type.partition("/")[0] for item in media]
    prompt_tokens = _text_tokens(request) + sum(TOKENS_PER_MEDIUM[kind] for kind in kinds)
    most = request.generation_config.max_output_tokens or card.max_output_tokens
    needs = Needs(
        context_tokens=min(_bucket(prompt_tokens), card.context_tokens),
        media="".join(sorted({kind[0] for kind in kinds})),
        adapter=request.adapter,
    )
    affinity = tuple(_affinity(request, media, tenant))
    return Load(max(1, prompt_tokens), max(1, most), needs, affinity)


def _text_tokens(request: GenerationRequest) -> int:
    turns = [request.system_instruction, *request.contents]
    texts = sum(len(part.text) for turn in turns for part in turn.parts)
    tools = sum(tool.ByteSize() for tool in request.tools)
    return (texts + tools) // BYTES_PER_TOKEN + 1


def _bucket(tokens: int) -> int:
    """The smallest power of two that holds them: workers with less context do not claim it."""
    return max(SMALLEST_BUCKET, 1 << (tokens - 1).bit_length())


def _affinity(request: GenerationRequest, media: Sequence[MediaItem], tenant: str) -> Iterable[str]:
    if request.session_id:
        yield f"s:{_digest(tenant, request.session_id.encode())}"
    for item in media[:MAX_AFFINE_MEDIA]:
        yield f"m:{_digest(tenant, item.sha256)}"
    if request.HasField("system_instruction") or request.tools or len(request.contents) > 1:
        head = [request.system_instruction, *request.tools, *request.contents[:1]]
        parts = b"".join(each.SerializeToString(deterministic=True) for each in head)
        yield f"p:{_digest(tenant, parts)}"


def _digest(tenant: str, data: bytes) -> str:
    return hashlib.sha256(f"{len(tenant)}:{tenant}".encode() + data).hexdigest()[:16]
