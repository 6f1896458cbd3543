"""Tokens of the largest media that a prompt may hold, and the engine step they ask for."""

from __future__ import annotations

IMAGE_TOKENS = 1120
"""The largest budget of one image."""

AUDIO_TOKENS = 750
"""30 seconds at 25 tokens a second: the most of one clip."""

VIDEO_FRAMES = 16
"""Frames of one video item; a longer video is several items."""

_FRAME_TOKENS = 78
"""70 of the picture, the rest its time stamp and delimiters: vLLM counts 2,496 for 32 frames."""

_MARKERS = 2
_STEP = 512


def largest_item_tokens(video_frames: int = VIDEO_FRAMES) -> int:
    """The most that one image, clip or video item takes."""
    return max(IMAGE_TOKENS + _MARKERS, AUDIO_TOKENS + _MARKERS, video_frames * _FRAME_TOKENS)


def least_batched_tokens(video_frames: int = VIDEO_FRAMES) -> int:
    """The smallest `max_num_batched_tokens` that starts and does not hang, in steps of 512.

    Two neighbouring items must fit the encoder cache together, or vLLM hangs without an error; one
    must fit a step, or it does not start (docs/adr/0004).
    """
    return -(-2 * largest_item_tokens(video_frames) // _STEP) * _STEP
