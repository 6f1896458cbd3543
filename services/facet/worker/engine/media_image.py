"""Images: upright RGB of a bounded number of pixels."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from facet.worker.engine.media_limits import MediaLimitError

MAX_PIXELS = 40_000_000
"""More than the common cameras make; 120 MB when decoded."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def decode_image(data: bytes) -> Image.Image:
    """Decode the first frame, upright, transparency over white.

    Errors: MediaLimitError for too many pixels, anything else for what cannot be decoded.
    """
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        # The header tells the size: checked before any pixel is decoded.
        if image.width * image.height > MAX_PIXELS:
            raise MediaLimitError(
                f"{image.width}x{image.height} pixels, at most {MAX_PIXELS} are served"
            )
        image.load()
        upright = ImageOps.exif_transpose(image)
        if not upright.has_transparency_data:
            return upright.convert("RGB")
        ground = Image.new("RGBA", upright.size, "white")
        return Image.alpha_composite(ground, upright.convert("RGBA")).convert("RGB")
