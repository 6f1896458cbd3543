"""Spans of an OTLP export request, walked as they lie.

Protobuf's parser makes an object of each part, of which a message of a few bytes each may have
millions: only those spans are unpacked that may be asked for, and the parts are counted.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span

MAX_FIELDS = 20_000
"""Parts of a message besides those inside its spans; a collector's batch has up to 8,192 spans."""

MAX_SPAN_BYTES = 4096
"""A timing span has some 600; larger ones are others' and are not unpacked."""

_PATH = (1, 2, 2)
"""Numbers of the fields `resource_spans`, `scope_spans` and `spans`."""

_SIZES = {1: 8, 5: 4}
"""Bytes of values of a fixed size, by wire type."""


class TooManyFieldsError(Exception):
    """A message of more than `MAX_FIELDS` parts."""


def spans_of(message: bytes) -> list[Span]:
    """The spans of an `ExportTraceServiceRequest` that have at most `MAX_SPAN_BYTES`.

    Errors: TooManyFieldsError; ValueError for what is no such request.
    """
    left = MAX_FIELDS
    parts = [memoryview(message)]
    for number in _PATH:
        inner = []
        for part in parts:
            for found, content in _fields(part):
                left -= 1
                if left < 0:
                    raise TooManyFieldsError(f"a request has at most {MAX_FIELDS} parts")
                if found == number:
                    inner.append(content)
        parts = inner
    try:
        return [Span.FromString(bytes(each)) for each in parts if len(each) <= MAX_SPAN_BYTES]
    except DecodeError as error:
        raise ValueError("a span that cannot be read") from error


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field; number 0 for those that hold no bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 2:  # noqa: PLR2004 - protobuf's wire type LEN
            size, at = _varint(message, at)
        elif kind == 0:
            _, at = _varint(message, at)
            size = 0
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError("a field of a type that OTLP does not have")
        if at + size > len(message):
            raise ValueError("a field ends after its message")
        yield (tag >> 3 if kind == 2 else 0), message[at : at + size]  # noqa: PLR2004
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number, and where the next byte is."""
    value = shift = 0
    while at < len(message) and shift < 64:  # noqa: PLR2004 - bits of the longest
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004 - no further byte
            return value, at
        shift += 7
    raise ValueError("a number that does not end")
