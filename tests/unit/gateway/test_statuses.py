"""Every error becomes a status that a client can act on, and back from the log."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.rpc import error_details_pb2

from facet.api.v1.error_pb2 import ErrorReason, Failure
from facet.core.errors import (
    DOMAIN,
    FacetError,
    FieldViolation,
    InternalError,
    InvalidRequestError,
    NotServedError,
    error_classes,
)
from facet.gateway.statuses import MAX_VIOLATIONS, status_of

pytestmark = pytest.mark.unit

ERRORS = error_classes()
DOCUMENT = Path(__file__).parents[3] / "docs" / "errors.md"
RETRY = r"(yes|no)(?:, with a new `request_id`)?"
ROW = re.compile(rf"\| ([A-Z_]+) \| ([A-Z_]+) \| {RETRY} \| [^|]+ \|")


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_status_names_code_and_reason_when_an_error_is_raised(kind: type[FacetError]) -> None:
    status = status_of(kind("what happened", metadata={"key": "value"}))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, status.message) == (kind.code.value[0], "what happened")
    assert (info.reason, info.domain, dict(info.metadata)) == (
        kind.reason_name(),
        DOMAIN,
        {"key": "value"},
    )
    assert len(status.details) == 1


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_error_survives_when_it_went_through_a_log(kind: type[FacetError]) -> None:
    error = kind("m", metadata={"a": "b"}, violations=[FieldViolation("request.x", "is bad")])
    stored = Failure.FromString(error.to_failure().SerializeToString())
    read = FacetError.from_failure(stored)
    assert type(read) is kind
    assert (read.message, read.metadata, read.violations) == (
        error.message,
        error.metadata,
        error.violations,
    )
    assert stored.code == kind.code.value[0]


def test_reason_is_internal_when_a_log_has_one_that_is_not_known() -> None:
    assert type(FacetError.from_failure(Failure(message="new"))) is InternalError


def test_each_reason_has_one_error_when_all_are_listed() -> None:
    reasons = [error.reason for error in ERRORS]
    assert len(reasons) == len(set(reasons))
    assert set(reasons) == set(ErrorReason.values()) - {0}


def test_document_lists_every_reason_when_read() -> None:
    rows = [
        match.groups() for match in map(ROW.fullmatch, DOCUMENT.read_text().splitlines()) if match
    ]
    assert rows == [
        (error.reason_name(), error.code.name, "yes" if error.retryable else "no")
        for error in ERRORS
    ]


def test_fields_and_delay_are_told_when_known() -> None:
    error = InvalidRequestError(
        "m", violations=[FieldViolation("request.a", "is b")], retry_after_seconds=1.25
    )
    bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    status = status_of(error)
    assert status.details[1].Unpack(bad)
    assert status.details[2].Unpack(retry)
    assert [(v.field, v.description) for v in bad.field_violations] == [("request.a", "is b")]
    assert retry.retry_delay.ToMilliseconds() == 1250


def test_status_fits_into_trailers_when_everything_is_too_long() -> None:
    wrong = [FieldViolation("f" * 1000, "ü" * 1000)] * 1000
    status = status_of(InvalidRequestError("é" * 10_000, violations=wrong))
    bad = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad)
    assert 1 <= len(bad.field_violations) <= MAX_VIOLATIONS
    # 8 KiB of trailers: the details in base64, the message percent-encoded.
    assert status.ByteSize() * 4 / 3 + 3 * len(status.message.encode()) < 8000


def test_feature_is_named_when_it_is_not_served() -> None:
    info = error_details_pb2.ErrorInfo()
    assert status_of(NotServedError.of("request.adapter")).details[0].Unpack(info)
    assert dict(info.metadata) == {"feature": "request.adapter"}
