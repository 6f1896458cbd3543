"""Turns and parts."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from facet.api.v1.content_pb2 import (
    ROLE_MODEL,
    ROLE_UNSPECIFIED,
    ROLE_USER,
    Content,
    FileData,
    FunctionCall,
    FunctionResponse,
    MediaOptions,
    MediaReference,
    Part,
)
from facet.api.v1.generation_pb2 import GenerationRequest
from tests.support.media_samples import MP4, PNG, WAV
from tests.unit.gateway.validation.cases import (
    MAX_INLINE_BYTES,
    asked,
    inline,
    unserved,
    wrong_fields,
)

pytestmark = pytest.mark.unit

CALL = Part(function_call=FunctionCall(id="1", name="look"))
RESPONSE = Part(function_response=FunctionResponse(id="1", name="look"))
TEXT = Part(text="hello")


def _turns(*turns: tuple[int, list[Part]]) -> GenerationRequest:
    return GenerationRequest(
        contents=[Content(role=role, parts=parts) for role, parts in turns]  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    "turns",
    [
        [(ROLE_USER, [TEXT])],
        [(ROLE_UNSPECIFIED, [TEXT])],
        [(ROLE_USER, [TEXT]), (ROLE_MODEL, [Part(text="")]), (ROLE_USER, [TEXT])],
        [(ROLE_USER, [TEXT]), (ROLE_MODEL, [CALL]), (ROLE_USER, [RESPONSE])],
        [(ROLE_USER, [TEXT]), (ROLE_MODEL, [Part(text="t", thought=True)]), (ROLE_USER, [TEXT])],
    ],
)
def test_conversation_is_accepted_when_each_says_what_is_theirs(
    turns: list[tuple[int, list[Part]]],
) -> None:
    assert wrong_fields(_turns(*turns)) == []


@pytest.mark.parametrize(
    ("turns", "wrong"),
    [
        ([], ["contents"]),
        ([(ROLE_USER, [])], ["contents[0].parts"]),
        ([(ROLE_USER, [TEXT, Part()])], ["contents[0].parts[1]"]),
        ([(ROLE_USER, [Part(text="")])], ["contents[0].parts[0].text"]),
        ([(7, [TEXT])], ["contents[0].role"]),
        ([(ROLE_MODEL, [TEXT])], ["contents[0].role"]),
        ([(ROLE_USER, [CALL])], ["contents[0].parts[0].function_call"]),
        ([(ROLE_USER, [Part(text="a", thought=True)])], ["contents[0].parts[0].thought"]),
        (
            [(ROLE_MODEL, [RESPONSE]), (ROLE_USER, [TEXT])],
            ["contents[0].parts[0].function_response"],
        ),
        (
            [(ROLE_MODEL, [inline("image/png", PNG)]), (ROLE_USER, [TEXT])],
            ["contents[0].parts[0].inline_data"],
        ),
        ([(ROLE_USER, [TEXT])] * 1025, ["contents"]),
        ([(ROLE_USER, [TEXT] * 4097)], ["contents"]),
    ],
)
def test_field_is_named_when_a_turn_is_wrong(
    turns: list[tuple[int, list[Part]]], wrong: list[str]
) -> None:
    assert wrong_fields(_turns(*turns)) == [f"request.{field}" for field in wrong]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (Part(media=MediaReference(media_id="m")), "media"),
        (Part(file_data=FileData(file_uri="https://x")), "file_data"),
        (
            Part(text="a", media_options=MediaOptions(resolution_tokens=70)),
            "media_options.resolution_tokens",
        ),
        (
            Part(text="a", media_options=MediaOptions(start_offset=Duration(seconds=1))),
            "media_options.start_offset",
        ),
    ],
)
def test_field_is_named_when_a_part_is_not_served(part: Part, field: str) -> None:
    assert unserved(asked(part)) == f"request.contents[0].parts[0].{field}"


@pytest.mark.parametrize(
    ("part", "most"),
    [
        (inline("image/png", PNG), 4),
        (inline("audio/wav", WAV), 4),
        (inline("video/mp4", MP4), 2),
    ],
)
def test_first_in_excess_is_named_when_there_are_too_many_media(part: Part, most: int) -> None:
    assert wrong_fields(asked(*[part] * most)) == []
    assert wrong_fields(asked(*[part] * (most + 1))) == [
        f"request.contents[0].parts[{most}].inline_data"
    ]


def test_part_is_named_when_inline_media_are_too_large_together() -> None:
    padding = MAX_INLINE_BYTES - len(WAV)
    exact = [inline("audio/wav", WAV + bytes(padding // 2)), inline("audio/wav", WAV)]
    assert wrong_fields(asked(*exact)) == []
    large = inline("audio/wav", WAV + bytes(padding))
    assert wrong_fields(asked(large, inline("audio/wav", WAV))) == [
        "request.contents[0].parts[1].inline_data.data"
    ]
