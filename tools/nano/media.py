"""Media files for the nano tasks: encoders for examples, decoders as a worker decodes them."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image

SAMPLE_RATE_HZ = 16_000
SAMPLES_PER_AUDIO_TOKEN = 640
VIDEO_FPS = 8
"""Frame rate of the files that `mp4_bytes` writes by default; models see one frame a second."""

Pixels = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float32]


def png_bytes(pixels: Pixels) -> bytes:
    """Encode RGB pixels of shape (height, width, 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGB").save(buffer, format="PNG")
    return buffer.getvalue()


def jpeg_bytes(pixels: Pixels, quality: int = 85) -> bytes:
    """Encode RGB pixels of shape (height, width, 3) as JPEG of `quality` (1-95)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGB").save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def wav_bytes(samples: Samples, sample_rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """Encode mono samples in [-1, 1] as 16-bit WAV; louder ones are clipped."""
    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.clip(samples, -1.0, 1.0), sample_rate_hz, format="WAV", subtype="PCM_16"
    )
    return buffer.getvalue()


def mp4_bytes(frames: Pixels, fps: int = VIDEO_FPS) -> bytes:
    """Encode RGB frames of shape (count, height, width, 3), even sides, as MPEG-4 in MP4."""
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 400_000
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def decode_image(data: bytes) -> Pixels:
    """Decode an image file to RGB pixels of shape (height, width, 3)."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def decode_audio(data: bytes) -> Samples:
    """Decode a mono 16 kHz file, padded with silence to a whole number of audio tokens."""
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    if rate != SAMPLE_RATE_HZ:
        raise ValueError(f"sample rate is {rate} Hz, not {SAMPLE_RATE_HZ}")
    mono: Samples = samples.mean(axis=1, dtype=np.float32)
    return np.pad(mono, (0, -len(mono) % SAMPLES_PER_AUDIO_TOKEN))


def decode_video(data: bytes) -> tuple[Pixels, dict[str, Any]]:
    """Decode one frame a second, with the metadata that vLLM wants beside the frames."""
    frames: list[Pixels] = []
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= len(frames) - 1e-6:
                frames.append(frame.to_ndarray(format="rgb24"))
    metadata = {
        "fps": 1.0,
        "frames_indices": list(range(len(frames))),
        "total_num_frames": len(frames),
        "duration": float(len(frames)),
        "video_backend": "opencv",
        "do_sample_frames": False,
    }
    return np.stack(frames), metadata
