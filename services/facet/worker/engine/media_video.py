"""Video: frames at even times, with the metadata that vLLM wants beside them."""

from __future__ import annotations

import io
import math
import time
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from facet.worker.engine.media_limits import MediaLimitError, Window

MAX_FRAMES = 16
"""More in one item hang the engine's encoder cache, see docs/adr/0004."""

MAX_FRAME_PIXELS = 1920 * 1088
_TOLERANCE_SECONDS = 1e-6

Frames = npt.NDArray[np.uint8]


def decode_video(
    data: bytes, window: Window, frames_per_second: float, deadline: float
) -> tuple[Frames, dict[str, Any]]:
    """Decode the first frame at or after each sampling time, RGB of shape (frames, h, w, 3).

    `deadline` is on the monotonic clock. Errors: MediaLimitError, TimeoutError,
    anything else for what cannot be decoded.
    """
    if not 0 < frames_per_second <= MAX_FRAMES or not math.isfinite(frames_per_second):
        raise MediaLimitError(f"{frames_per_second} frames a second")
    first_index = math.ceil(window.start_seconds * frames_per_second - _TOLERANCE_SECONDS)
    frames: list[Frames] = []
    with av.open(io.BytesIO(data), timeout=10.0) as container:
        if not container.streams.video:
            raise MediaLimitError("no video track")
        origin: float | None = None
        for frame in container.decode(video=0):
            if time.monotonic() > deadline:
                raise TimeoutError
            if frame.time is None:
                continue
            origin = frame.time if origin is None else origin
            at = frame.time - origin
            if window.end_seconds is not None and at >= window.end_seconds:
                break
            if at < (first_index + len(frames)) / frames_per_second - _TOLERANCE_SECONDS:
                continue
            if len(frames) == MAX_FRAMES:
                raise MediaLimitError(
                    f"more than {MAX_FRAMES} frames: ask for a window or fewer frames a second"
                )
            frames.append(_pixels(frame))
    if not frames:
        raise MediaLimitError("no frames in it, or in its window")
    return np.stack(frames), _metadata(first_index, len(frames), frames_per_second)


def _pixels(frame: Any) -> Frames:
    if frame.width * frame.height > MAX_FRAME_PIXELS:
        raise MediaLimitError(
            f"frames of {frame.width}x{frame.height}, at most {MAX_FRAME_PIXELS} pixels are served"
        )
    pixels: Frames = frame.to_ndarray(format="rgb24")
    return pixels


def _metadata(first_index: int, count: int, frames_per_second: float) -> dict[str, Any]:
    """VLLM stamps frame i with frames_indices[i] / fps, so indices count sampling times."""
    total = first_index + count
    return {
        "fps": frames_per_second,
        "frames_indices": list(range(first_index, total)),
        "total_num_frames": total,
        "duration": total / frames_per_second,
        "video_backend": "opencv",
        "do_sample_frames": False,
    }
