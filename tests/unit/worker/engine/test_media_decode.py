"""Decoding of uploaded media, good and bad."""

from __future__ import annotations

import io
import time

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from facet.core.errors import MediaUndecodableError
from facet.worker.engine import media_audio, media_decode, media_video
from facet.worker.engine.media_decode import DecodedMedium, MediaDecoder
from facet.worker.engine.port import Medium

pytestmark = pytest.mark.unit

PATH = "request.contents[0].parts[0].inline_data"


async def decode(mime_type: str, data: bytes, *, time_limit_seconds: float = 10) -> DecodedMedium:
    decoder = MediaDecoder(threads=1, time_limit_seconds=time_limit_seconds)
    try:
        (decoded,) = await decoder.decode([Medium(mime_type, b"", data)], [PATH])
        return decoded
    finally:
        decoder.close()


async def refusal(mime_type: str, data: bytes, *, time_limit_seconds: float = 10) -> str:
    with pytest.raises(MediaUndecodableError) as caught:
        await decode(mime_type, data, time_limit_seconds=time_limit_seconds)
    assert caught.value.violations[0].field == PATH
    return caught.value.violations[0].description


def png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", **options)
    return buffer.getvalue()


def wav(seconds: float, rate: int = 16_000, channels: int = 1, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    at = np.arange(round(seconds * rate)) / rate
    tone = np.repeat(0.5 * np.sin(2 * np.pi * 440 * at)[:, None], channels, axis=1)
    soundfile.write(buffer, tone, rate, format="WAV", subtype=subtype)
    return buffer.getvalue()


def mp4(seconds: float, fps: int = 8, side: int = 32) -> bytes:
    """Frames of second n have the grey level 50 n."""
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for index in range(round(seconds * fps)):
            pixels = np.full((side, side, 3), 50 * (index // fps) % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def jpeg_of_many_passes(side: int, passes: int) -> bytes:
    """Small to send and long to decode: each pass over the picture takes a few bytes."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(buffer, format="JPEG", progressive=True)
    picture, end = buffer.getvalue()[:-2], buffer.getvalue()[-2:]
    return picture + passes * picture[picture.rindex(b"\xff\xda") :] + end


async def test_an_image_is_turned_upright_when_exif_says_so() -> None:
    image = Image.new("RGB", (40, 20), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = await decode("image/png", png(image, exif=exif))
    assert decoded.data.size == (20, 40)


async def test_transparency_becomes_white_when_an_image_has_it() -> None:
    decoded = await decode("image/png", png(Image.new("RGBA", (2, 2), (255, 0, 0, 0))))
    assert decoded.data.getpixel((0, 0)) == (255, 255, 255)


async def test_pixels_are_counted_before_decoding_when_the_header_claims_many() -> None:
    bomb = png(Image.new("1", (9_000, 9_000)))
    assert "pixels" in await refusal("image/png", bomb)


@pytest.mark.parametrize(
    "data", [b"", b"not an image", png(Image.new("RGB", (64, 64), "red"))[:80]]
)
async def test_the_part_is_named_when_an_image_is_broken(data: bytes) -> None:
    assert "cannot be decoded" in await refusal("image/png", data)


async def test_audio_is_mono_16_khz_in_whole_tokens_when_it_was_not() -> None:
    decoded = await decode("audio/wav", wav(1.01, rate=44_100, channels=2))
    samples, rate = decoded.data
    assert rate == 16_000
    assert samples.dtype == np.float32
    assert samples.shape == (26 * 640,)
    spectrum = np.abs(np.fft.rfft(samples[:16_000]))
    assert int(spectrum.argmax()) == 440


async def test_audio_in_a_container_of_video_is_read_by_ffmpeg() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 48_000), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    decoded = await decode("audio/mp4", buffer.getvalue())
    assert 16_000 <= len(decoded.data[0]) <= 17_920


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cannot be decoded"),
        (b"RIFF....WAVE", "cannot be decoded"),
        (wav(0), "no samples"),
        (wav(30.1), "longer than 30 seconds"),
        (wav(0.01, channels=17), "17 channels"),
        (wav(0.01, rate=400_000), "400000 Hz"),
    ],
)
async def test_the_part_is_named_when_audio_is_not_served(data: bytes, reason: str) -> None:
    assert reason in await refusal("audio/wav", data)


async def test_samples_that_are_no_numbers_are_refused() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.array([0.0, np.nan]), 16_000, format="WAV", subtype="FLOAT")
    assert "no numbers" in await refusal("audio/wav", buffer.getvalue())


async def test_thirty_seconds_are_served_whole() -> None:
    decoded = await decode("audio/wav", wav(30))
    assert decoded.data[0].shape == (750 * 640,)


async def test_one_frame_a_second_is_taken_when_a_video_has_more() -> None:
    decoded = await decode("video/mp4", mp4(3.5))
    frames, metadata = decoded.data
    assert frames.shape == (4, 32, 32, 3)
    assert [round(float(frame.mean()) / 50) for frame in frames] == [0, 1, 2, 3]
    assert metadata["frames_indices"] == [0, 1, 2, 3]
    assert metadata["fps"] == 1.0
    assert metadata["duration"] == 4.0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cannot be decoded"),
        (mp4(2)[:30], "cannot be decoded"),
        (mp4(2)[:400], "no video track"),
        (mp4(17), "longer than 16 seconds"),
        (wav(1), "no video track"),
    ],
)
async def test_the_part_is_named_when_a_video_is_not_served(data: bytes, reason: str) -> None:
    assert reason in await refusal("video/mp4", data)


async def test_no_frame_is_decoded_when_a_video_header_claims_many_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = mp4(1, side=64)
    monkeypatch.setattr(media_video, "MAX_FRAME_PIXELS", 64 * 64 - 1)
    # A frame that were decoded would run into the deadline first.
    assert "64x64" in await refusal("video/mp4", data, time_limit_seconds=-1)


async def test_the_codec_refuses_when_a_frame_is_larger_than_the_header_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The header is read as it is, the codec is given less than the frames have."""
    monkeypatch.setattr(media_video, "MAX_FRAME_PIXELS", 64 * 64 - 1)
    codec = av.CodecContext.create("mpeg4", "r")
    media_video._bound_frames(codec)
    with av.open(io.BytesIO(mp4(1, side=64))) as container:
        packet = next(container.demux(video=0))
        codec.extradata = container.streams.video[0].codec_context.extradata
        with pytest.raises(av.error.FFmpegError):
            codec.decode(packet)


async def test_no_sample_is_read_when_an_audio_header_claims_many_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("samples were read")

    monkeypatch.setattr(media_audio, "_soundfile_blocks", read)
    assert "17 channels" in await refusal("audio/wav", wav(1, channels=17))


@pytest.mark.parametrize(
    ("mime_type", "data"),
    [
        ("video/mp4", mp4(1)),
        ("audio/wav", wav(1)),
        ("image/png", png(Image.new("RGB", (8, 8), "red"))),
    ],
)
async def test_decoding_ends_when_the_time_limit_passed(mime_type: str, data: bytes) -> None:
    assert "too long" in await refusal(mime_type, data, time_limit_seconds=-1)


async def test_decoding_ends_near_the_time_limit_when_an_image_has_endless_passes() -> None:
    data = jpeg_of_many_passes(side=2_000, passes=20_000)
    assert len(data) < 1_000_000
    began = time.monotonic()
    assert "too long" in await refusal("image/jpeg", data, time_limit_seconds=0.3)
    assert time.monotonic() - began < 5


async def test_media_of_a_refused_request_are_not_decoded_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others wait for the same threads."""
    begun: list[bytes] = []

    def slowly(kind: str, data: bytes, deadline: float) -> DecodedMedium:
        begun.append(data)
        time.sleep(0.05)
        if data == b"broken":
            raise ValueError
        return DecodedMedium(kind, data, "")

    monkeypatch.setattr(media_decode, "_decode", slowly)
    media = [Medium("image/png", b"", data) for data in (b"broken", *[b"whole"] * 20, b"other")]
    decoder = MediaDecoder(threads=1)
    try:
        with pytest.raises(MediaUndecodableError):
            await decoder.decode(media[:-1], [PATH] * 21)
        await decoder.decode(media[-1:], [PATH])
    finally:
        decoder.close()
    # The thread takes the next one before it can be told.
    assert begun in ([b"broken", b"other"], [b"broken", b"whole", b"other"])
