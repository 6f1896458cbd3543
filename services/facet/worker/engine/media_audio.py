"""Audio: mono float32 at 16 kHz, a whole number of tokens long."""

from __future__ import annotations

import io
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from facet.worker.engine.media_limits import MediaLimitError, Window

SAMPLE_RATE_HZ = 16_000
SAMPLES_PER_TOKEN = 640
MAX_SECONDS = 30.0
"""750 tokens: vLLM would drop the rest of a longer clip silently."""

_BLOCK_FRAMES = 65_536
_MAX_RATE_HZ = 384_000
_MAX_CHANNELS = 16

Samples = npt.NDArray[np.float32]


def decode_audio(data: bytes, window: Window, deadline: float) -> tuple[Samples, int]:
    """Decode the window, mixed to mono, resampled, padded with silence to whole tokens.

    `deadline` is on the monotonic clock. Errors: MediaLimitError, TimeoutError,
    anything else for what cannot be decoded.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            samples = _read(_soundfile_blocks(file), file.samplerate, window, deadline)
    except soundfile.LibsndfileError:
        samples = _decode_with_ffmpeg(data, window, deadline)
    return np.pad(samples, (0, -len(samples) % SAMPLES_PER_TOKEN)), SAMPLE_RATE_HZ


def _read(
    blocks: Iterator[npt.NDArray[np.float32]], rate: int, window: Window, deadline: float
) -> Samples:
    """Mono samples of the window at 16 kHz. `blocks` have shape (frames, channels)."""
    if not 0 < rate <= _MAX_RATE_HZ:
        raise MediaLimitError(f"sample rate of {rate} Hz")
    first = round(window.start_seconds * rate)
    end = None if window.end_seconds is None else round(window.end_seconds * rate)
    # One sample more than allowed tells a longer recording from one that just fits.
    limit = first + int(MAX_SECONDS * rate) + 1
    stop = limit if end is None else min(end, limit)
    kept: list[Samples] = []
    position = 0
    for block in blocks:
        if time.monotonic() > deadline:
            raise TimeoutError
        if block.shape[1] > _MAX_CHANNELS:
            raise MediaLimitError(f"{block.shape[1]} channels, at most {_MAX_CHANNELS} are served")
        piece = block[max(0, first - position) : max(0, stop - position)]
        if len(piece):
            kept.append(piece.mean(axis=1, dtype=np.float32))
        position += len(block)
        if position >= stop:
            break
    if not kept:
        raise MediaLimitError("no samples in it, or in its window")
    mono = np.concatenate(kept)
    if len(mono) > MAX_SECONDS * rate:
        raise MediaLimitError(f"longer than {MAX_SECONDS:.0f} seconds: cut it or ask for a window")
    if not np.isfinite(mono).all():
        raise MediaLimitError("samples that are no numbers")
    resampled = mono if rate == SAMPLE_RATE_HZ else soxr.resample(mono, rate, SAMPLE_RATE_HZ)
    return np.clip(resampled, -1.0, 1.0).astype(np.float32)


def _soundfile_blocks(file: Any) -> Iterator[npt.NDArray[np.float32]]:
    while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        yield block


def _decode_with_ffmpeg(data: bytes, window: Window, deadline: float) -> Samples:
    """For containers that libsndfile does not know, such as AAC in MP4 or Opus in WebM."""
    with av.open(io.BytesIO(data), timeout=10.0) as container:
        if not container.streams.audio:
            raise MediaLimitError("no audio track")
        rate = container.streams.audio[0].rate
        with closing(_ffmpeg_blocks(container, rate)) as blocks:
            return _read(blocks, rate, window, deadline)


def _ffmpeg_blocks(container: Any, rate: int) -> Generator[npt.NDArray[np.float32]]:
    resampler = av.AudioResampler(format="fltp", rate=rate)
    for frame in container.decode(audio=0):
        for converted in resampler.resample(frame):
            yield converted.to_ndarray().T
