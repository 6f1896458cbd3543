"""Requests and what is wrong with them, as the tests of validation use them."""

from __future__ import annotations

import tracemalloc
from typing import Any

from facet.api.v1.content_pb2 import ROLE_USER, Blob, Content, Part
from facet.api.v1.generation_pb2 import GenerationConfig, GenerationRequest
from facet.core.errors import FacetError, InvalidRequestError, NotServedError
from facet.core.models import NANO
from facet.gateway.validation.request import validate

MAX_INLINE_BYTES = 1 << 20
PEAK_BYTES = 8 << 20
"""What looking at any request may take."""


def asked(*parts: Part, **fields: Any) -> GenerationRequest:
    """A request with one turn of the user; "hello" without parts."""
    turn = Content(role=ROLE_USER, parts=parts or [Part(text="hello")])
    return GenerationRequest(contents=[turn], **fields)


def configured(**fields: Any) -> GenerationRequest:
    """A request with these fields of its generation config."""
    return asked(generation_config=GenerationConfig(**fields))


def inline(mime_type: str, data: bytes) -> Part:
    return Part(inline_data=Blob(mime_type=mime_type, data=data))


def refusal(request: GenerationRequest) -> FacetError | None:
    """What validation raises."""
    try:
        validate(request, NANO, max_inline_bytes=MAX_INLINE_BYTES)
    except FacetError as error:
        return error
    return None


def wrong_fields(request: GenerationRequest) -> list[str]:
    """Paths of the fields that are wrong; empty when the request is accepted."""
    error = refusal(request)
    if error is None:
        return []
    assert isinstance(error, InvalidRequestError), error
    assert all(violation.description for violation in error.violations)
    return [violation.field for violation in error.violations]


def unserved(request: GenerationRequest) -> str:
    """The field that is named as not served."""
    error = refusal(request)
    assert isinstance(error, NotServedError), error
    return error.metadata["feature"]


def peak_bytes(request: GenerationRequest) -> int:
    """What Python takes for looking at a request that is refused."""
    tracemalloc.start()
    try:
        assert refusal(request)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
