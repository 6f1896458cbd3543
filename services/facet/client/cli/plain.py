"""Messages as plain values, for `--json` and for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from facet.api.v1.error_pb2 import ErrorReason

_WORD = re.compile(r"(?<!^)(?=[A-Z])")


def plain(message: Message) -> dict[str, Any]:
    """All fields by name, absent messages as None.

    Times are ISO 8601 in UTC, durations become `NAME_seconds`, choices lose their prefix and are
    lower-case but for the reasons of failures, numbers stay numbers.
    """
    fields: Iterable[Any] = message.DESCRIPTOR.fields
    return {_key(field): _field(message, field) for field in fields}


def _key(field: FieldDescriptor) -> str:
    is_duration = field.message_type is not None and field.message_type.full_name == (
        Duration.DESCRIPTOR.full_name
    )
    return f"{field.name}_seconds" if is_duration else field.name


def _field(message: Message, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(value)
    if field.is_repeated:
        return [_value(field, item) for item in value]
    if field.message_type is not None and not message.HasField(field.name):
        return None
    return _value(field, value)


def _value(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Timestamp):
        time = value.ToDatetime(tzinfo=UTC)
        return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, Duration):
        return value.ToMilliseconds() / 1000
    if isinstance(value, Message):
        return plain(value)
    if field.enum_type is not None:
        return _choice(field.enum_type, value)
    return value


def _choice(enum: EnumDescriptor, number: int) -> str:
    known = enum.values_by_number.get(number)
    if known is None:
        return str(number)
    name = known.name.removeprefix(f"{_WORD.sub('_', enum.name).upper()}_")
    return name if enum.name == ErrorReason.DESCRIPTOR.name else name.lower()
