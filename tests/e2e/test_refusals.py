"""Bad input is refused by name, and hurts nobody else."""

from __future__ import annotations

import grpc
import pytest

import facet
from tests.support import media_samples

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PNG_HEAD = b"\x89PNG\r\n\x1a\n"
WAV_HEAD = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"
MP4_HEAD = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"


@pytest.mark.parametrize(
    "part",
    [
        facet.image(PNG_HEAD + b"\x00" * 64, mime_type="image/png"),
        facet.audio(WAV_HEAD + b"\xff" * 64, mime_type="audio/wav"),
        facet.video(MP4_HEAD + b"\x00" * 64, mime_type="video/mp4"),
        facet.image(media_samples.webp(), mime_type="image/webp"),
        facet.audio(b"fLaC" + bytes(64), mime_type="audio/flac"),
        facet.video(media_samples.mp4(), mime_type="video/mp4"),
    ],
    # The gateway sees that a header is wrong, the worker that nothing follows a right one.
    ids=[
        f"{kind}-{what}" for what in ("header", "content") for kind in ("image", "audio", "video")
    ],
)
async def test_media_is_refused_by_field_when_undecodable(
    part: facet.client.Part, client: facet.AsyncClient
) -> None:
    with pytest.raises(facet.FacetApiError) as caught:
        await client.generate([part, "What is this?"], timeout_seconds=60)

    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.reason == "MEDIA_UNDECODABLE"
    assert [v.field for v in caught.value.violations] == [
        "request.contents[0].parts[0].inline_data.data"
    ]
    assert (await client.generate("Count to 5.", temperature=0.0)).text == "1 2 3 4 5"


async def test_prompt_is_refused_when_longer_than_the_context(client: facet.AsyncClient) -> None:
    with pytest.raises(facet.FacetApiError) as caught:
        await client.generate("word " * 20_000, timeout_seconds=60)

    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.reason == "CONTEXT_EXCEEDED"
    assert caught.value.violations[0].field == "request.contents"
    assert (await client.generate("Count to 5.", temperature=0.0)).text == "1 2 3 4 5"
