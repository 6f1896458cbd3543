"""Errors of calls, parsed from what gRPC carries."""

from collections.abc import Sequence

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from facet.api.v1 import error_pb2
from facet.client.errors import from_call, from_failure
from facet.core.errors import FieldViolation

pytestmark = pytest.mark.unit


class FailedCall:
    def __init__(self, trailing_metadata: Sequence[tuple[str, str | bytes]] | None) -> None:
        self._trailing = trailing_metadata

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.RESOURCE_EXHAUSTED

    def details(self) -> str:
        return "the queue is full"

    def trailing_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        return self._trailing


def test_all_details_are_attributes_when_the_status_is_rich() -> None:
    status = status_pb2.Status(code=8, message="the queue is full")
    for detail in (
        error_details_pb2.ErrorInfo(
            reason="QUEUE_FULL", domain="facet.dev", metadata={"limit": "10"}
        ),
        error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500000000)),
        error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(field="request.x", description="bad")
            ]
        ),
        error_details_pb2.Help(),
    ):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)

    error = from_call(FailedCall([("grpc-status-details-bin", status.SerializeToString())]), "g-1")

    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (error.reason, error.message) == ("QUEUE_FULL", "the queue is full")
    assert error.metadata == {"limit": "10"}
    assert error.violations == (FieldViolation("request.x", "bad"),)
    assert error.retry_after_seconds == 1.5
    assert error.generation_id == "g-1"
    assert str(error) == "RESOURCE_EXHAUSTED/QUEUE_FULL: the queue is full"


@pytest.mark.parametrize(
    "trailing", [None, [], [("grpc-status-details-bin", b"\xff\xff")], [("x", "y")]]
)
def test_the_code_is_the_reason_when_there_are_no_details(
    trailing: Sequence[tuple[str, str | bytes]] | None,
) -> None:
    error = from_call(FailedCall(trailing))

    assert error.reason == "RESOURCE_EXHAUSTED"
    assert error.message == "the queue is full"
    assert error.violations == ()
    assert error.retry_after_seconds is None


def test_a_logged_failure_reads_like_a_status_when_converted() -> None:
    failure = error_pb2.Failure(
        code=3,
        reason=error_pb2.ErrorReason.ERROR_REASON_MEDIA_UNDECODABLE,
        message="not an image",
        metadata={"part": "1"},
        violations=[error_pb2.FieldViolation(field="request.y", description="broken")],
    )

    error = from_failure(failure, "g-3")

    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "MEDIA_UNDECODABLE"
    assert error.metadata == {"part": "1"}
    assert error.violations == (FieldViolation("request.y", "broken"),)


def test_the_code_is_unknown_when_a_failure_has_none_of_grpc() -> None:
    assert from_failure(error_pb2.Failure(code=99)).code is grpc.StatusCode.UNKNOWN


def test_the_code_stands_for_the_reason_when_a_later_version_sends_it() -> None:
    error = from_failure(error_pb2.Failure.FromString(b"\x08\x0e\x10\xe7\x07"), "g-1")

    assert (error.code, error.reason, error.has_info) == (
        grpc.StatusCode.UNAVAILABLE,
        "UNAVAILABLE",
        False,
    )


def test_the_other_details_are_read_when_one_is_mangled() -> None:
    status = status_pb2.Status(code=8)
    for detail in (error_details_pb2.RetryInfo(), error_details_pb2.ErrorInfo(reason="QUEUE_FULL")):
        status.details.add().Pack(detail)
    status.details[0].value = b"\xff"

    error = from_call(FailedCall([("grpc-status-details-bin", status.SerializeToString())]))

    assert (error.reason, error.retry_after_seconds) == ("QUEUE_FULL", None)
