"""The worker's decoders of media, over whole files of every accepted kind that were then broken."""

from __future__ import annotations

import io
from functools import cache
from random import Random

import av
import numpy as np
import soundfile
from PIL import Image

from facet.core.errors import MediaUndecodableError
from facet.worker.engine.media_decode import MediaDecoder
from facet.worker.engine.port import Medium
from tools.fuzz.case import Case, Target
from tools.fuzz.mutation import mutated

_SIDE = 16
_RATE_HZ = 16_000
_PATH = "request.contents[0].parts[0].inline_data"


def decoding(decoder: MediaDecoder) -> Target:
    """Anything but a decoded medium or MediaUndecodableError is a defect; so is a crash."""

    def make(random: Random) -> Case:
        mime_type, whole = random.choice(whole_media())
        data = mutated(random, whole)
        if random.random() < 0.3:
            data = data[: random.randrange(len(data) + 1)]
        # The kind alone decides who decodes it: files of another kind are sent too.
        if random.random() < 0.1:
            mime_type = random.choice(("image/png", "audio/wav", "video/mp4"))
        return Case("decoding", mime_type.encode() + b"\n" + data)

    async def run(case: Case) -> None:
        mime_type, _, data = case.body.partition(b"\n")
        try:
            await decoder.decode([Medium(mime_type.decode(), b"", data)], [_PATH])
        except MediaUndecodableError:
            return

    return Target("decoding", make, run)


@cache
def whole_media() -> tuple[tuple[str, bytes], ...]:
    """Small files, whole, with their MIME types; the encoders are those of the decoders."""
    picture = Image.effect_noise((_SIDE, _SIDE), 80).convert("RGB")
    images = [(f"image/{kind.lower()}", _image(picture, kind)) for kind in _IMAGE_KINDS]
    sounds = [(f"audio/{kind.lower()}", _sound(kind)) for kind in _SOUND_KINDS]
    videos = [(f"video/{kind}", _video(kind, codec)) for kind, codec in _VIDEO_KINDS]
    return (*images, *sounds, *videos)


_IMAGE_KINDS = ("PNG", "JPEG", "WEBP", "GIF")
_SOUND_KINDS = ("WAV", "FLAC", "OGG", "MP3")
_VIDEO_KINDS = (("mp4", "mpeg4"), ("webm", "libvpx-vp9"))


def _image(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind)
    return buffer.getvalue()


def _sound(kind: str) -> bytes:
    buffer = io.BytesIO()
    tone = 0.5 * np.sin(np.arange(_RATE_HZ // 10) / 7)
    soundfile.write(buffer, tone, _RATE_HZ, format=kind)
    return buffer.getvalue()


def _video(kind: str, codec: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format=kind) as container:
        stream = container.add_stream(codec, rate=4)
        stream.width = stream.height = 2 * _SIDE
        stream.pix_fmt = "yuv420p"
        for index in range(6):
            pixels = np.full((2 * _SIDE, 2 * _SIDE, 3), 40 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
