"""Checks of the conversation: turns, parts and their media."""

from __future__ import annotations

from collections import Counter

from facet.api.v1.content_pb2 import ROLE_MODEL, ROLE_USER, Content, MediaOptions, Part, Role
from facet.api.v1.generation_pb2 import GenerationRequest
from facet.core.models import ModelCard
from facet.gateway.validation.findings import Findings
from facet.gateway.validation.media import check_blob
from facet.gateway.validation.tools import check_function_call, check_function_response

MAX_CONTENTS = 1024
MAX_PARTS = 4096
# Far above what a vocabulary packs into a token on average: more text does not fit the context.
MAX_BYTES_PER_TOKEN = 256
_MODEL_ONLY = "belongs to the model's turns"
_USER_ONLY = "belongs to the user's turns"


def check_contents(
    request: GenerationRequest, card: ModelCard, findings: Findings, *, max_inline_bytes: int
) -> None:
    """Check `request.contents`."""
    contents = request.contents
    if not contents:
        findings.wrong("request.contents", "is empty")
        return
    if len(contents) > MAX_CONTENTS:
        findings.wrong("request.contents", f"has more than {MAX_CONTENTS} turns")
        return
    if sum(len(content.parts) for content in contents) > MAX_PARTS:
        findings.wrong("request.contents", f"has more than {MAX_PARTS} parts")
        return
    if not _fits(request, card, findings):
        return
    for index, content in enumerate(contents):
        _check_turn(content, f"request.contents[{index}]", findings)
    if contents[-1].role == ROLE_MODEL:
        findings.wrong(f"request.contents[{len(contents) - 1}].role", "the last turn is the user's")
    _MediaBudget(card, max_inline_bytes, findings).check(request)


def check_system_instruction(request: GenerationRequest, findings: Findings) -> None:
    """Check `request.system_instruction`: text parts only."""
    if not request.HasField("system_instruction"):
        return
    path = "request.system_instruction"
    if not request.system_instruction.parts:
        findings.wrong(f"{path}.parts", "is empty")
    if len(request.system_instruction.parts) > MAX_PARTS:
        findings.wrong(f"{path}.parts", f"has more than {MAX_PARTS} entries")
        return
    for index, part in enumerate(request.system_instruction.parts):
        part_path = f"{path}.parts[{index}]"
        if part.WhichOneof("data") != "text":
            findings.wrong(part_path, "must be text")
        elif not part.text:
            findings.wrong(f"{part_path}.text", "is empty")
        if part.thought:
            findings.wrong(f"{part_path}.thought", _MODEL_ONLY)


def _check_turn(content: Content, path: str, findings: Findings) -> None:
    if content.role not in Role.values():
        findings.wrong(f"{path}.role", f"unknown value {content.role}")
    if not content.parts:
        findings.wrong(f"{path}.parts", "is empty")
    for index, part in enumerate(content.parts):
        _check_part(part, content.role or ROLE_USER, f"{path}.parts[{index}]", findings)


def _check_part(part: Part, role: Role.ValueType, path: str, findings: Findings) -> None:
    is_model = role == ROLE_MODEL
    if part.thought and not is_model:
        findings.wrong(f"{path}.thought", _MODEL_ONLY)
    if part.HasField("media_options"):
        _check_media_options(part.media_options, f"{path}.media_options", findings)
    kind = part.WhichOneof("data")
    if kind is None:
        findings.wrong(path, "has no data")
    elif kind == "text":
        # An earlier answer may have been empty; a question may not.
        if not part.text and not is_model:
            findings.wrong(f"{path}.text", "is empty")
    elif is_model != (kind == "function_call"):
        findings.wrong(f"{path}.{kind}", _USER_ONLY if is_model else _MODEL_ONLY)
    else:
        _check_data(part, kind, f"{path}.{kind}", findings)


def _check_data(part: Part, kind: str, path: str, findings: Findings) -> None:
    if kind == "function_call":
        check_function_call(part.function_call, path, findings)
    elif kind == "function_response":
        check_function_response(part.function_response, path, findings)
    elif kind in {"media", "file_data"}:
        findings.unserved(path)


def _check_media_options(options: MediaOptions, path: str, findings: Findings) -> None:
    for descriptor, _ in options.ListFields():
        findings.unserved(f"{path}.{descriptor.name}")


def _fits(request: GenerationRequest, card: ModelCard, findings: Findings) -> bool:
    most = card.context_tokens * MAX_BYTES_PER_TOKEN
    size = request.system_instruction.ByteSize()
    for content in request.contents:
        size += content.ByteSize() - sum(len(part.inline_data.data) for part in content.parts)
    if size > most:
        findings.too_long("request.contents", f"holds {size} bytes beside media, limit is {most}")
    return size <= most


class _MediaBudget:
    """Counts and sizes of the inline media of one request."""

    def __init__(self, card: ModelCard, max_inline_bytes: int, findings: Findings) -> None:
        self._most = {
            "image": card.max_images,
            "audio": card.max_audios,
            "video": card.max_videos,
        }
        self._max_inline_bytes = max_inline_bytes
        self._findings = findings
        self._seen: Counter[str] = Counter()
        self._inline_bytes = 0

    def check(self, request: GenerationRequest) -> None:
        """Check every inline part."""
        for index, content in enumerate(request.contents):
            for number, part in enumerate(content.parts):
                if part.HasField("inline_data") and content.role != ROLE_MODEL:
                    self._check_part(part, f"request.contents[{index}].parts[{number}].inline_data")

    def _check_part(self, part: Part, path: str) -> None:
        self._inline_bytes += len(part.inline_data.data)
        if self._inline_bytes > self._max_inline_bytes:
            self._findings.wrong(
                f"{path}.data", f"inline media exceed {self._max_inline_bytes} bytes together"
            )
            return
        modality = check_blob(part.inline_data, path, self._findings)
        if modality is None:
            return
        self._seen[modality] += 1
        most = self._most[modality]
        if self._seen[modality] > most:
            self._findings.wrong(path, f"the model takes at most {most} {modality} parts")
