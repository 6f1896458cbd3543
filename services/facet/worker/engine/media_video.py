"""Video: frames at even times, with the metadata that vLLM wants beside them."""

from __future__ import annotations

import io
import time
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from facet.worker.engine.media_limits import MediaLimitError

MAX_FRAMES = 16
"""More in one item hang the engine's encoder cache, see docs/adr/0004."""

MAX_FRAME_PIXELS = 1920 * 1088
_FRAMES_PER_SECOND = 1.0
_TOLERANCE_SECONDS = 1e-6

Frames = npt.NDArray[np.uint8]


def decode_video(data: bytes, deadline: float) -> tuple[Frames, dict[str, Any]]:
    """Decode the first frame at or after each full second, RGB of shape (frames, h, w, 3).

    `deadline` is on the monotonic clock. Errors: MediaLimitError, TimeoutError,
    anything else for what cannot be decoded.
    """
    frames: list[Frames] = []
    with av.open(io.BytesIO(data), timeout=10.0) as container:
        if not container.streams.video:
            raise MediaLimitError("no video track")
        _bound_frames(container.streams.video[0].codec_context)
        origin: float | None = None
        for frame in container.decode(video=0):
            if time.monotonic() > deadline:
                raise TimeoutError
            if frame.time is None:
                continue
            origin = frame.time if origin is None else origin
            if frame.time - origin < len(frames) / _FRAMES_PER_SECOND - _TOLERANCE_SECONDS:
                continue
            if len(frames) == MAX_FRAMES:
                raise MediaLimitError(
                    f"longer than {MAX_FRAMES / _FRAMES_PER_SECOND:.0f} seconds: cut it"
                )
            frames.append(frame.to_ndarray(format="rgb24"))
    if not frames:
        raise MediaLimitError("no frames in it")
    return np.stack(frames), _metadata(len(frames))


def _bound_frames(codec: Any) -> None:
    """Refuse large frames before any is decoded, and have the codec refuse those that grow later.

    The header's size is told to the client; a stream may still change it between frames.
    """
    if codec.width * codec.height > MAX_FRAME_PIXELS:
        raise MediaLimitError(
            f"frames of {codec.width}x{codec.height}, at most {MAX_FRAME_PIXELS} pixels are served"
        )
    codec.options = {"max_pixels": str(MAX_FRAME_PIXELS)}


def _metadata(count: int) -> dict[str, Any]:
    """VLLM stamps frame i with frames_indices[i] / fps, so indices count sampling times."""
    return {
        "fps": _FRAMES_PER_SECOND,
        "frames_indices": list(range(count)),
        "total_num_frames": count,
        "duration": count / _FRAMES_PER_SECOND,
        "video_backend": "opencv",
        "do_sample_frames": False,
    }
