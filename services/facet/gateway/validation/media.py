"""Checks of one inline medium: type, first bytes, headers."""

from __future__ import annotations

from facet.api.v1.content_pb2 import Blob
from facet.gateway.validation.containers import container_fault
from facet.gateway.validation.findings import Findings
from facet.gateway.validation.images import image_fault
from facet.gateway.validation.media_types import (
    SUPPORTED,
    Modality,
    canonical_type,
    modality_of,
    sniffed_type,
)


def check_blob(blob: Blob, path: str, findings: Findings) -> Modality | None:
    """Check an inline medium; its modality, or None when the type is not accepted."""
    mime_type = canonical_type(blob.mime_type)
    if not mime_type:
        findings.wrong(
            f"{path}.mime_type",
            f"{blob.mime_type!r} is not accepted; accepted are {', '.join(SUPPORTED)}",
        )
        return None
    modality, data = modality_of(mime_type), blob.data
    if not data:
        findings.wrong(f"{path}.data", "is empty")
    elif fault := _fault(data, mime_type, modality):
        findings.broken_media(f"{path}.data", fault)
    return modality


def _fault(data: bytes, mime_type: str, modality: Modality) -> str:
    found = sniffed_type(data)
    if found != mime_type:
        return f"the bytes are {found or 'of no known type'}, declared is {mime_type}"
    return image_fault(data, mime_type) if modality == "image" else container_fault(data, mime_type)
