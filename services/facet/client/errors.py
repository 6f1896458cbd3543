"""What the SDK raises: failures of the API as data, and streams that broke their own rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from facet.api.v1 import error_pb2
from facet.core.errors import FieldViolation

_DETAILS_KEY = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class FacetApiError(Exception):
    """A call failed.

    `reason` is the ErrorInfo reason, such as QUEUE_FULL; where none arrived (the server was not
    reached, or something between answered) it is the name of the code and `has_info` is False.
    `violations` name wrong fields. `retry_after_seconds` is set where the server told it: with
    QUEUE_FULL and QUOTA_EXCEEDED, which are not repeated for the caller. `generation_id` is empty
    where no generation was accepted. `trace_id` is what the server's traces and logs have the call
    under, empty where none arrived.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
        retry_after_seconds: float | None = None,
        generation_id: str = "",
        trace_id: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or code.name
        self.has_info = bool(reason)
        self.metadata = dict(metadata or {})
        self.violations = violations
        self.retry_after_seconds = retry_after_seconds
        self.generation_id = generation_id
        self.trace_id = trace_id

    def __str__(self) -> str:
        return f"{self.code.name}/{self.reason}: {self.message}"


class StreamCorruptedError(Exception):
    """A stream had a gap, a repeat, or no end: what it delivered must not be relied on."""


class _FailedCall(Protocol):
    """What a failed call tells, of `grpc` and `grpc.aio` alike."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Any: ...


def from_call(call: _FailedCall, generation_id: str = "") -> FacetApiError:
    """Read the error of a call that ended with a status other than OK."""
    status = _rich_status(call.trailing_metadata() or ())
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    call_info = error_details_pb2.RequestInfo()
    for detail in status.details:
        # Unpack leaves the message alone where the type is another.
        for message in (info, bad_request, retry, call_info):
            with suppress(DecodeError):
                detail.Unpack(message)
    return FacetApiError(
        call.code(),
        call.details() or status.message,
        reason=info.reason,
        metadata=info.metadata,
        violations=tuple(
            FieldViolation(v.field, v.description) for v in bad_request.field_violations
        ),
        retry_after_seconds=(
            retry.retry_delay.ToMilliseconds() / 1000 if retry.HasField("retry_delay") else None
        ),
        generation_id=generation_id,
        trace_id=call_info.serving_data,
    )


def from_failure(failure: error_pb2.Failure, generation_id: str = "") -> FacetApiError:
    """The error of a failure as the log records it."""
    reason = ""
    # A later server has others.
    if failure.reason in error_pb2.ErrorReason.values():
        reason = error_pb2.ErrorReason.Name(failure.reason).removeprefix("ERROR_REASON_")
    return FacetApiError(
        _CODES.get(failure.code, grpc.StatusCode.UNKNOWN),
        failure.message,
        reason=reason,
        metadata=failure.metadata,
        violations=tuple(FieldViolation(v.field, v.description) for v in failure.violations),
        generation_id=generation_id,
    )


def _rich_status(trailing_metadata: Iterable[tuple[str, str | bytes]]) -> status_pb2.Status:
    for key, value in trailing_metadata:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                # A proxy's mangled details must not hide the status itself.
                break
    return status_pb2.Status()
