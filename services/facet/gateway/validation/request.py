"""Checks of a whole request against its model's card."""

from __future__ import annotations

from facet.api.v1.generation_pb2 import GenerationRequest, OnDisconnect, Priority
from facet.core.models import ModelCard
from facet.gateway.validation.contents import check_contents, check_system_instruction
from facet.gateway.validation.findings import Findings
from facet.gateway.validation.sampling import check_generation_config
from facet.gateway.validation.tools import check_tools
from facet.gateway.validation.values import check_values

MAX_ID_BYTES = 128
MAX_RETENTION_SECONDS = 24 * 3600


def validate(request: GenerationRequest, card: ModelCard, *, max_inline_bytes: int) -> None:
    """Refuse a request that could not run.

    Every wrong field is named by its path, such as `request.contents[0].parts[1].text`.
    Errors: InvalidRequestError, MediaUndecodableError, NotServedError.
    """
    findings = Findings()
    check_contents(request, card, findings, max_inline_bytes=max_inline_bytes)
    check_system_instruction(request, findings)
    check_tools(request, card, findings)
    check_generation_config(request.generation_config, card, findings)
    _check_handling(request, findings)
    if not findings.violations:
        # There are not too many turns, parts and functions to be walked over.
        check_values(request, findings)
    findings.raise_if_any()


def _check_handling(request: GenerationRequest, findings: Findings) -> None:
    if request.priority not in Priority.values():
        findings.wrong("request.priority", f"unknown value {request.priority}")
    if request.on_disconnect not in OnDisconnect.values():
        findings.wrong("request.on_disconnect", f"unknown value {request.on_disconnect}")
    for name, value in (("session_id", request.session_id), ("request_id", request.request_id)):
        if len(value.encode()) > MAX_ID_BYTES:
            findings.wrong(f"request.{name}", f"is longer than {MAX_ID_BYTES} bytes")
        elif not value.isprintable():
            findings.wrong(f"request.{name}", "contains characters that are not printable")
    if request.adapter:
        findings.unserved("request.adapter")
    if request.HasField("retention"):
        retention = request.retention
        seconds = retention.seconds + retention.nanos / 1e9
        findings.within("request.retention", seconds, 0, MAX_RETENTION_SECONDS)
