"""Seeded inputs: messages by their descriptors, and bytes that are nearly right."""

from __future__ import annotations

from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

MAX_DEPTH = 5
_INTEGERS = (0, 1, -1, 2, 7, 255, 256, 65_536, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"))
_TEXTS = (
    *(
        "",
        "a",
        "nano",
        "user",
        "image/png",
        "audio/wav",
        "video/mp4",
        "{}",
        "[]",
        '{"type":"object"}',
    ),
    *("\x00", "é", "\U0001f600", "a" * 200, " ", "../../etc/passwd", "g-0-", "%s%n", "\u202e", "("),
)
_INTEGER_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}


def filled(random: Random, message: Message, depth: int = 0) -> Message:
    """Fill a message with values of its fields' types, plausible and not."""
    for field in message.DESCRIPTOR.fields:
        if random.random() < (0.45 if depth < MAX_DEPTH else 0.9):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        _fill_field(random, message, field, depth)
    return message


def _fill_field(random: Random, message: Message, field: Any, depth: int) -> None:
    target: Any = getattr(message, field.name)
    is_message = field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE
    if is_message and depth >= MAX_DEPTH:
        return
    if field.is_repeated:
        for _ in range(random.choice((0, 1, 1, 2, 3, 20))):
            if is_message:
                filled(random, target.add(), depth + 1)
            else:
                target.append(scalar(random, field))
    elif is_message:
        target.SetInParent()
        filled(random, target, depth + 1)
    else:
        setattr(message, field.name, scalar(random, field))


def scalar(random: Random, field: Any) -> Any:
    """A value of the field's type."""
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return text(random) if field.type == FieldDescriptor.TYPE_STRING else noise(random, 40)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return random.random() < 0.5
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return random.choice(_FLOATS)
    if field.enum_type is not None and random.random() < 0.8:
        return random.choice(field.enum_type.values).number
    low, high = _INTEGER_BOUNDS[kind]
    return min(max(random.choice(_INTEGERS), low), high)


def text(random: Random) -> str:
    """Text of unusual characters."""
    return "".join(random.choice(_TEXTS) for _ in range(random.choice((1, 1, 1, 2, 5))))


def noise(random: Random, most: int) -> bytes:
    """Random bytes, at most so many."""
    return random.randbytes(random.randrange(most + 1))


def mutated(random: Random, data: bytes) -> bytes:
    """Nearly the same bytes: flipped, cut, doubled, replaced."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        at = random.randrange(len(changed) + 1)
        match random.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << random.randrange(8)
            case 1:
                del changed[at : at + random.randrange(1, 9)]
            case 2:
                changed[at:at] = noise(random, 8)
            case 3:
                changed[at : at + 4] = random.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
            case 4:
                del changed[at:]
            case _:
                changed[at:at] = changed[at : at + random.randrange(1, 33)]
    return bytes(changed)
