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

from facet.worker.engine.media_limits import MediaLimitError

SAMPLE_RATE_HZ = 16_000
SAMPLES_PER_TOKEN = 640
MAX_SECONDS = 30.0
"""750 tokens: vLLM would drop the rest of a longer clip silently."""

_BLOCK_FRAMES = 65_536
_MAX_RATE_HZ = 384_000
_MAX_CHANNELS = 16

Samples = npt.NDArray[np.float32]


def decode_audio(data: bytes, deadline: float) -> tuple[Samples, int]:
    """Decode all of it, mixed to mono, resampled, padded with silence to whole tokens.

    `deadline` is on the monotonic clock. Errors: MediaLimitError, TimeoutError,
    anything else for what cannot be decoded.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_format(file.channels, file.samplerate)
            samples = _read(_soundfile_blocks(file), file.samplerate, deadline)
    except soundfile.LibsndfileError:
        samples = _decode_with_ffmpeg(data, deadline)
    return np.pad(samples, (0, -len(samples) % SAMPLES_PER_TOKEN)), SAMPLE_RATE_HZ


def _check_format(channels: int, rate: int) -> None:
    """Before anything is read: both decide how much memory a block of samples takes."""
    if not 0 < channels <= _MAX_CHANNELS:
        raise MediaLimitError(f"{channels} channels, at most {_MAX_CHANNELS} are served")
    if not 0 < rate <= _MAX_RATE_HZ:
        raise MediaLimitError(f"sample rate of {rate} Hz, at most {_MAX_RATE_HZ} are served")


def _read(blocks: Iterator[npt.NDArray[np.float32]], rate: int, deadline: float) -> Samples:
    """Mono samples at 16 kHz. `blocks` have shape (frames, channels)."""
    # One sample more than allowed tells a longer recording from one that just fits.
    limit = int(MAX_SECONDS * rate) + 1
    kept: list[Samples] = []
    position = 0
    for block in blocks:
        if time.monotonic() > deadline:
            raise TimeoutError
        kept.append(block[: limit - position].mean(axis=1, dtype=np.float32))
        position += len(block)
        if position >= limit:
            break
    if not position:
        raise MediaLimitError("no samples in it")
    mono = np.concatenate(kept)
    if len(mono) > MAX_SECONDS * rate:
        raise MediaLimitError(f"longer than {MAX_SECONDS:.0f} seconds: cut it")
    if not np.isfinite(mono).all():
        raise MediaLimitError("samples that are no numbers")
    resampled = mono if rate == SAMPLE_RATE_HZ else soxr.resample(mono, rate, SAMPLE_RATE_HZ)
    return np.clip(resampled, -1.0, 1.0).astype(np.float32)


def _soundfile_blocks(file: Any) -> Iterator[npt.NDArray[np.float32]]:
    while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        yield block


def _decode_with_ffmpeg(data: bytes, deadline: float) -> Samples:
    """For what libsndfile does not know, such as rare codecs in WAVE and Ogg."""
    with av.open(io.BytesIO(data), timeout=10.0) as container:
        if not container.streams.audio:
            raise MediaLimitError("no audio track")
        codec = container.streams.audio[0].codec_context
        rate = codec.sample_rate
        _check_format(codec.channels, rate)
        with closing(_ffmpeg_blocks(container, rate)) as blocks:
            return _read(blocks, rate, deadline)


def _ffmpeg_blocks(container: Any, rate: int) -> Generator[npt.NDArray[np.float32]]:
    resampler = av.AudioResampler(format="fltp", rate=rate)
    for frame in container.decode(audio=0):
        for converted in resampler.resample(frame):
            yield converted.to_ndarray().T
