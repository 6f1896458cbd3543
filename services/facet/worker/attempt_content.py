"""Prompts and answers in spans, in the form of the GenAI conventions; only where switched on."""

from __future__ import annotations

import json

from facet.api.v1 import content_pb2, generation_pb2, inference_service_pb2
from facet.core.telemetry import gen_ai


def input_messages(request: generation_pb2.GenerationRequest) -> dict[str, str]:
    """The prompt's texts by role; of other parts only their kind."""
    contents: list[content_pb2.Content] = [*request.contents]
    if request.HasField("system_instruction"):
        contents.insert(0, request.system_instruction)
    messages = [
        {"role": content.role or "user", "parts": [_part(part) for part in content.parts]}
        for content in contents
    ]
    return {gen_ai.INPUT_MESSAGES: json.dumps(messages)}


def output_messages(response: bytes) -> dict[str, str]:
    """The text that logged events hold, of the first candidate."""
    events = inference_service_pb2.StreamGenerateContentResponse.FromString(response).events
    text = "".join(event.text_delta.text for event in events if not event.candidate_index)
    messages = [{"role": "assistant", "parts": [{"type": "text", "content": text}]}]
    return {gen_ai.OUTPUT_MESSAGES: json.dumps(messages)}


def _part(part: content_pb2.Part) -> dict[str, str]:
    kind = part.WhichOneof("data") or ""
    return {"type": "text", "content": part.text} if kind == "text" else {"type": kind}
