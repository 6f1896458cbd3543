"""Failures in one line, and their exit codes."""

import grpc
import pytest

from facet.client import FacetApiError, FieldViolation
from facet.client.cli.exit_codes import ExitCode, describe, of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (grpc.StatusCode.UNAVAILABLE, ExitCode.UNREACHABLE),
        (grpc.StatusCode.UNAUTHENTICATED, ExitCode.DENIED),
        (grpc.StatusCode.INVALID_ARGUMENT, ExitCode.REFUSED),
        (grpc.StatusCode.NOT_FOUND, ExitCode.REFUSED),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ExitCode.BUSY),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ExitCode.DEADLINE),
        (grpc.StatusCode.INTERNAL, ExitCode.FAILED),
        (grpc.StatusCode.ABORTED, ExitCode.FAILED),
    ],
)
def test_the_exit_code_follows_the_status_when_a_call_fails(
    code: grpc.StatusCode, exit_code: ExitCode
) -> None:
    assert of(FacetApiError(code, "why")) is exit_code


def test_the_line_holds_all_when_an_error_is_rich() -> None:
    error = FacetApiError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "the queue\nis full",
        reason="QUEUE_FULL",
        violations=(FieldViolation("request.x", "too much"), FieldViolation("y", "is full")),
        retry_after_seconds=1.5,
    )

    assert describe(error, "h:1") == (
        "QUEUE_FULL: the queue is full; request.x: too much (try again in 1.5 s)"
    )


def test_the_store_is_named_when_the_gateway_answers_without_it() -> None:
    error = FacetApiError(
        grpc.StatusCode.UNAVAILABLE, "Redis does not answer", reason="STORE_UNAVAILABLE"
    )

    assert describe(error, "h:1") == "STORE_UNAVAILABLE: Redis does not answer"


def test_the_address_is_named_when_nothing_answers() -> None:
    assert "h:1" in describe(FacetApiError(grpc.StatusCode.UNAVAILABLE, "refused"), "h:1")
