"""Images: upright RGB of a bounded number of pixels."""

from __future__ import annotations

import io
import time

from PIL import Image, ImageOps

from facet.core.media_limits import MAX_IMAGE_PIXELS
from facet.worker.engine.media_limits import MediaLimitError

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_BLOCK_BYTES = 4096
"""Between two looks at the clock: a kilobyte of JPEG can hold many passes over the picture."""


def decode_image(data: bytes, deadline: float) -> Image.Image:
    """Decode the first frame, upright, transparency over white.

    `deadline` is on the monotonic clock. Errors: MediaLimitError for too many pixels, TimeoutError,
    anything else for what cannot be decoded.
    """
    with Image.open(_TimedBytes(data, deadline), formats=_FORMATS) as image:
        # The header tells the size: checked before any pixel is decoded.
        if image.width * image.height > MAX_IMAGE_PIXELS:
            raise MediaLimitError(
                f"{image.width}x{image.height} pixels, at most {MAX_IMAGE_PIXELS} are served"
            )
        image.decodermaxblock = _BLOCK_BYTES
        image.load()
        upright = ImageOps.exif_transpose(image)
        if not upright.has_transparency_data:
            return upright.convert("RGB")
        ground = Image.new("RGBA", upright.size, "white")
        return Image.alpha_composite(ground, upright.convert("RGBA")).convert("RGB")


class _TimedBytes(io.BytesIO):
    """Ends a decoder at the deadline: the library reads on while it decodes.

    WebP is decoded in one go, in a time that the number of pixels bounds.
    """

    def __init__(self, data: bytes, deadline: float) -> None:
        super().__init__(data)
        self._deadline = deadline

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self._deadline:
            raise TimeoutError
        return super().read(size)
