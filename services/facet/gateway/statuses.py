"""From a failure to the status that a gRPC client receives."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from facet.core.errors import DOMAIN, FacetError, FieldViolation

DETAILS_KEY = "grpc-status-details-bin"
# Peers refuse trailers beyond 8 KiB, in which the details stand in base64 and the message percent-
# encoded.
MAX_VIOLATIONS = 16
MAX_VIOLATIONS_BYTES = 2500
MAX_TEXT_BYTES = 400


def status_of(
    error: FacetError, request_info: error_details_pb2.RequestInfo | None = None
) -> status_pb2.Status:
    """The `google.rpc.Status` of a failure.

    Details: ErrorInfo always, BadRequest when fields are wrong (the first 16), RetryInfo when the
    server can say how long to wait, RequestInfo when the call is known. Long texts are cut, so that
    the trailers fit.
    """
    status = status_pb2.Status(code=error.code.value[0], message=_cut(error.message))
    details = status.details
    details.add().Pack(
        error_details_pb2.ErrorInfo(
            reason=error.reason_name(),
            domain=DOMAIN,
            metadata={key: _cut(value) for key, value in error.metadata.items()},
        )
    )
    if error.violations:
        details.add().Pack(_bad_request(error.violations))
    if error.retry_after_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after_seconds * 1000))
        details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if request_info is not None:
        details.add().Pack(request_info)
    return status


async def abort_with(
    context: grpc.aio.ServicerContext[object, object],
    error: FacetError,
    request_info: error_details_pb2.RequestInfo | None = None,
) -> None:
    """End the call with the failure's status; raises grpc's own abort, never returns."""
    status = status_of(error, request_info)
    await context.abort(error.code, status.message, ((DETAILS_KEY, status.SerializeToString()),))


def _bad_request(violations: Sequence[FieldViolation]) -> error_details_pb2.BadRequest:
    bad_request = error_details_pb2.BadRequest()
    for violation in violations[:MAX_VIOLATIONS]:
        bad_request.field_violations.add(
            field=_cut(violation.field), description=_cut(violation.description)
        )
        if bad_request.ByteSize() > MAX_VIOLATIONS_BYTES:
            del bad_request.field_violations[-1]
            break
    return bad_request


def _cut(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= MAX_TEXT_BYTES:
        return text
    return encoded[:MAX_TEXT_BYTES].decode(errors="ignore") + "…"
