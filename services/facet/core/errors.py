"""Failures as data: every error that may reach a client, with its gRPC code and reason.

One root class carries what the wire needs; the subclasses only fix `code`, `reason` and whether
trying again helps. The table in `docs/errors.md` lists them all.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import grpc

from facet.api.v1 import error_pb2

Reason = error_pb2.ErrorReason
DOMAIN = "facet.dev"
_PREFIX = "ERROR_REASON_"


@dataclass(frozen=True)
class FieldViolation:
    """One wrong field: its path from the request message, and what is wrong with it."""

    field: str
    description: str


class FacetError(Exception):
    """Root of all failures that a client is told about.

    `retry_after_seconds` is set where the server can say when trying again makes sense.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    reason: ClassVar[error_pb2.ErrorReason.ValueType] = Reason.ERROR_REASON_INTERNAL
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_seconds = retry_after_seconds

    @classmethod
    def reason_name(cls) -> str:
        """The reason as it stands in ErrorInfo: UPPER_SNAKE without the enum's prefix."""
        return Reason.Name(cls.reason).removeprefix(_PREFIX)

    @staticmethod
    def from_failure(failure: error_pb2.Failure) -> FacetError:
        """The error that a log recorded; InternalError for a reason that is not known here."""
        return _by_reason().get(failure.reason, InternalError)(
            failure.message,
            metadata=dict(failure.metadata),
            violations=[FieldViolation(v.field, v.description) for v in failure.violations],
        )

    def to_failure(self) -> error_pb2.Failure:
        """The form that the event log keeps."""
        return error_pb2.Failure(
            code=self.code.value[0],
            reason=self.reason,
            message=self.message,
            metadata=self.metadata,
            violations=[
                error_pb2.FieldViolation(field=v.field, description=v.description)
                for v in self.violations
            ],
        )


class InvalidRequestError(FacetError):
    """A field of the request is wrong; it never ran."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = Reason.ERROR_REASON_INVALID_REQUEST

    @classmethod
    def of(cls, field: str, description: str) -> InvalidRequestError:
        """One wrong field; works for the subclasses too."""
        return cls(f"{field}: {description}", violations=[FieldViolation(field, description)])


class MediaUndecodableError(InvalidRequestError):
    """Media of the request cannot be decoded."""

    reason = Reason.ERROR_REASON_MEDIA_UNDECODABLE


class ContextExceededError(InvalidRequestError):
    """Prompt, or prompt and output together, do not fit the context."""

    reason = Reason.ERROR_REASON_CONTEXT_EXCEEDED


class ModelNotFoundError(FacetError):
    """No such model is configured."""

    code = grpc.StatusCode.NOT_FOUND
    reason = Reason.ERROR_REASON_MODEL_NOT_FOUND


class GenerationNotFoundError(FacetError):
    """No such generation, or it belongs to another tenant."""

    code = grpc.StatusCode.NOT_FOUND
    reason = Reason.ERROR_REASON_GENERATION_NOT_FOUND


class MediaNotFoundError(FacetError):
    """No such medium, or it belongs to another tenant."""

    code = grpc.StatusCode.NOT_FOUND
    reason = Reason.ERROR_REASON_MEDIA_NOT_FOUND


class RequestIdReusedError(FacetError):
    """The idempotency key was used with another body."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = Reason.ERROR_REASON_REQUEST_ID_REUSED


class OffsetOutOfRangeError(FacetError):
    """The offset asked for lies beyond the end of the log."""

    code = grpc.StatusCode.OUT_OF_RANGE
    reason = Reason.ERROR_REASON_OFFSET_OUT_OF_RANGE


class UnauthenticatedError(FacetError):
    """No credentials, or wrong ones."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = Reason.ERROR_REASON_UNAUTHENTICATED


class PermissionDeniedError(FacetError):
    """The caller's role does not allow the call."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = Reason.ERROR_REASON_PERMISSION_DENIED


class QueueFullError(FacetError):
    """The queue is at its bound; the request never ran."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = Reason.ERROR_REASON_QUEUE_FULL
    retryable = True


class StoreFullError(FacetError):
    """The store is nearly full, so admission is shed; the request never ran."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = Reason.ERROR_REASON_STORE_FULL
    retryable = True


class LogFullError(FacetError):
    """The answer outgrew what one log may hold; what was logged before stays."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = Reason.ERROR_REASON_LOG_FULL


class QuotaExceededError(FacetError):
    """A quota of the tenant is used up."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = Reason.ERROR_REASON_QUOTA_EXCEEDED
    retryable = True


class GenerationRunsError(FacetError):
    """The generation has not ended, which the call asks for."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = Reason.ERROR_REASON_GENERATION_RUNS


class StoreUnavailableError(FacetError):
    """Redis does not answer in time."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = Reason.ERROR_REASON_STORE_UNAVAILABLE
    retryable = True


class GatewayDrainingError(FacetError):
    """The gateway shuts down; the stream continues on another one."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = Reason.ERROR_REASON_GATEWAY_DRAINING
    retryable = True


class CancelledError(FacetError):
    """Cancelled by a client, or because its last reader went away."""

    code = grpc.StatusCode.CANCELLED
    reason = Reason.ERROR_REASON_CANCELLED


class DeadlineExceededError(FacetError):
    """The deadline passed while the request waited or ran."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = Reason.ERROR_REASON_DEADLINE_EXCEEDED


class UnresumableError(FacetError):
    """An exact continuation is not possible and the client did not accept a restart."""

    code = grpc.StatusCode.ABORTED
    reason = Reason.ERROR_REASON_UNRESUMABLE
    retryable = True


class LogRegressedError(FacetError):
    """The log fell behind what was delivered, and grew differently."""

    code = grpc.StatusCode.ABORTED
    reason = Reason.ERROR_REASON_LOG_REGRESSED


class LogLostError(FacetError):
    """The store came back without this generation."""

    code = grpc.StatusCode.DATA_LOSS
    reason = Reason.ERROR_REASON_LOG_LOST


class DeadLetteredError(FacetError):
    """Given up after repeated failures; kept among the dead letters."""

    reason = Reason.ERROR_REASON_DEAD_LETTERED


class EngineFailedError(FacetError):
    """The engine failed on this request."""

    reason = Reason.ERROR_REASON_ENGINE_FAILED


class EngineStalledError(FacetError):
    """The engine made no progress on this request, which was aborted."""

    reason = Reason.ERROR_REASON_ENGINE_STALLED
    retryable = True


class WorkerNotFoundError(FacetError):
    """No worker of that name reports."""

    code = grpc.StatusCode.NOT_FOUND
    reason = Reason.ERROR_REASON_WORKER_NOT_FOUND


class NotServedError(FacetError):
    """The feature is part of the API and not served yet; `metadata['feature']` names it."""

    code = grpc.StatusCode.UNIMPLEMENTED
    reason = Reason.ERROR_REASON_NOT_SERVED

    @classmethod
    def of(cls, feature: str) -> NotServedError:
        """The error for one named rpc or field."""
        return cls(f"{feature} is not served", metadata={"feature": feature})


class InternalError(FacetError):
    """A fault of the server; its log has the details, under `metadata["incident_id"]`."""


def error_classes() -> list[type[FacetError]]:
    """Every error that a client may be told about, in the order of the table of reasons."""
    found: list[type[FacetError]] = []
    pending = FacetError.__subclasses__()
    while pending:
        error = pending.pop()
        found.append(error)
        pending += error.__subclasses__()
    return sorted(found, key=lambda error: error.reason)


@functools.cache
def _by_reason() -> dict[error_pb2.ErrorReason.ValueType, type[FacetError]]:
    return {error.reason: error for error in error_classes()}
