"""Contents from Python values: text, media from bytes or files, turns, functions."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import struct_pb2

from facet.api.v1 import content_pb2

Part = content_pb2.Part
Content = content_pb2.Content
MediaOptions = content_pb2.MediaOptions
FunctionDeclaration = content_pb2.FunctionDeclaration

Prompt = str | Part | Sequence[str | Part | Content]
"""What may be asked: a text, a part, the parts of one user turn, or a conversation's turns."""

Source = bytes | str | Path
"""Media: the encoded file's bytes, or its path."""

_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (0, b"BM", "image/bmp"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
)
"""Offset, bytes and media type; the first match counts. From the formats' own specifications."""

_CONTAINERS = frozenset({"mp4", "ogg", "webm"})
"""Subtypes that hold sound and moving pictures alike: the caller's word decides which."""

_OTHER_NAMES = {"audio/x-wav": "audio/wav", "audio/x-flac": "audio/flac"}


def text(value: str) -> Part:
    """A part of plain text."""
    return Part(text=value)


def image(
    source: Source, *, mime_type: str | None = None, options: MediaOptions | None = None
) -> Part:
    """A still image; see `audio` for the arguments."""
    return _media("image", source, mime_type, options)


def audio(
    source: Source, *, mime_type: str | None = None, options: MediaOptions | None = None
) -> Part:
    """A sound.

    The media type is read from the bytes, then from the file's name; `mime_type` overrides both.
    Errors: ValueError where the type is unknown or of another kind; OSError for a bad path.
    """
    return _media("audio", source, mime_type, options)


def video(
    source: Source, *, mime_type: str | None = None, options: MediaOptions | None = None
) -> Part:
    """Moving pictures; see `audio` for the arguments."""
    return _media("video", source, mime_type, options)


def user_turn(*parts: str | Part) -> Content:
    """What the user says, or gives back as a function's result."""
    return Content(role=content_pb2.ROLE_USER, parts=_parts(parts))


def model_turn(*parts: str | Part) -> Content:
    """What the model said in an earlier turn."""
    return Content(role=content_pb2.ROLE_MODEL, parts=_parts(parts))


def function(
    name: str, *, description: str = "", parameters: Mapping[str, Any] | None = None
) -> FunctionDeclaration:
    """A function that the model may call; `parameters` is the JSON schema of its arguments."""
    return FunctionDeclaration(
        name=name, description=description, parameters=struct(parameters) if parameters else None
    )


def function_result(name: str, result: Mapping[str, Any], *, call_id: str = "") -> Part:
    """A function's result, given back to the model; `call_id` is the id of the call answered."""
    return Part(
        function_response=content_pb2.FunctionResponse(
            id=call_id, name=name, response=struct(result)
        )
    )


def struct(value: Mapping[str, Any]) -> struct_pb2.Struct:
    """A JSON object as protobuf. Errors: ValueError for values that JSON has not."""
    message = struct_pb2.Struct()
    message.update(dict(value))
    return message


def to_contents(prompt: Prompt) -> list[Content]:
    """The conversation that a prompt stands for. Errors: TypeError for turns among parts."""
    if isinstance(prompt, str | Part):
        return [user_turn(prompt)]
    contents = [item for item in prompt if isinstance(item, Content)]
    parts = [item for item in prompt if not isinstance(item, Content)]
    if contents and parts:
        raise TypeError("a prompt holds either whole turns or the parts of one turn, not both")
    return contents or [user_turn(*parts)]


def _parts(parts: Sequence[str | Part]) -> list[Part]:
    return [text(part) if isinstance(part, str) else part for part in parts]


def _media(kind: str, source: Source, mime_type: str | None, options: MediaOptions | None) -> Part:
    name = "" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    found = mime_type or _sniffed(data) or _named(name)
    if found is None:
        raise ValueError(f"cannot tell the media type of {name or 'these bytes'}: give mime_type")
    family, _, subtype = found.partition("/")
    if family != kind and subtype in _CONTAINERS and "image" not in {kind, family}:
        family, found = kind, f"{kind}/{subtype}"
    if family != kind:
        raise ValueError(f"{name or 'these bytes'}: {found} is not {kind}")
    blob = content_pb2.Blob(mime_type=found, data=data)
    return Part(inline_data=blob, media_options=options)


def _sniffed(data: bytes) -> str | None:
    for offset, magic, mime_type in _MAGIC:
        if data.startswith(magic, offset):
            return mime_type
    return None


def _named(name: str) -> str | None:
    guessed, _ = mimetypes.guess_type(name)
    return _OTHER_NAMES.get(guessed, guessed) if guessed else None
