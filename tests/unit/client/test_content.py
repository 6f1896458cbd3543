"""Contents from Python values."""

from pathlib import Path

import pytest

import facet
from facet.api.v1 import content_pb2
from facet.client.content import to_contents

pytestmark = pytest.mark.unit

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
WAV = b"RIFF\x24\0\0\0WAVEfmt "
MP4 = b"\0\0\0\x20ftypisom\0\0"


@pytest.mark.parametrize(
    ("build", "data", "mime_type"),
    [
        (facet.image, PNG, "image/png"),
        (facet.image, b"\xff\xd8\xff\xe0", "image/jpeg"),
        (facet.image, b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (facet.image, b"\0\0\0\x20ftypavif", "image/avif"),
        (facet.audio, WAV, "audio/wav"),
        (facet.audio, b"ID3\x04", "audio/mpeg"),
        (facet.audio, b"OggS\0", "audio/ogg"),
        (facet.video, b"OggS\0", "video/ogg"),
        (facet.audio, MP4, "audio/mp4"),
        (facet.video, MP4, "video/mp4"),
        (facet.video, b"\0\0\0\x20ftypM4A ", "video/mp4"),
        (facet.audio, b"\x1aE\xdf\xa3", "audio/webm"),
        (facet.video, b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo"),
    ],
)
def test_media_type_is_read_from_the_bytes_when_none_is_given(
    build: object, data: bytes, mime_type: str
) -> None:
    assert callable(build)
    part = build(data)

    assert part.inline_data.mime_type == mime_type
    assert part.inline_data.data == data


def test_media_type_is_read_from_the_name_when_the_bytes_do_not_tell(tmp_path: Path) -> None:
    path = tmp_path / "sound.WAV"
    path.write_bytes(b"no magic")

    assert facet.audio(path).inline_data.mime_type == "audio/wav"


def test_bytes_win_over_the_name_when_they_differ(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(PNG)

    assert facet.image(str(path)).inline_data.mime_type == "image/png"


def test_given_media_type_is_taken_when_the_bytes_are_unknown() -> None:
    assert facet.image(b"?", mime_type="image/x-new").inline_data.mime_type == "image/x-new"


@pytest.mark.parametrize(
    ("build", "data"), [(facet.image, WAV), (facet.image, MP4), (facet.audio, PNG)]
)
def test_media_is_refused_when_it_is_of_another_kind(build: object, data: bytes) -> None:
    assert callable(build)
    with pytest.raises(ValueError, match="is not"):
        build(data)


def test_media_is_refused_when_its_type_is_unknown() -> None:
    with pytest.raises(ValueError, match="give mime_type"):
        facet.video(b"?")


def test_media_options_travel_with_the_part_when_given() -> None:
    options = content_pb2.MediaOptions(resolution_tokens=70)

    assert facet.image(PNG, options=options).media_options.resolution_tokens == 70
    assert not facet.image(PNG).HasField("media_options")


def test_one_user_turn_is_made_when_a_prompt_is_text_and_parts() -> None:
    (turn,) = to_contents([facet.image(PNG), "what is it?"])

    assert turn.role == content_pb2.ROLE_USER
    assert [part.WhichOneof("data") for part in turn.parts] == ["inline_data", "text"]


def test_conversation_is_kept_when_a_prompt_is_whole_turns() -> None:
    turns = [facet.user_turn("a"), facet.model_turn("b"), facet.user_turn("c")]

    assert to_contents(turns) == turns


def test_prompt_is_refused_when_turns_and_parts_are_mixed() -> None:
    with pytest.raises(TypeError):
        to_contents([facet.user_turn("a"), "b"])


def test_function_result_names_its_call_when_given_an_id() -> None:
    part = facet.function_result("weather", {"sky": "blue"}, call_id="c1")

    assert part.function_response.id == "c1"
    assert part.function_response.response["sky"] == "blue"
