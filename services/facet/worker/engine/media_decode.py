"""Uploaded media to what the model takes, off the event loop, bounded in size and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from facet.core.errors import MediaUndecodableError
from facet.core.tasks import run_all
from facet.worker.engine.media_audio import decode_audio
from facet.worker.engine.media_image import decode_image
from facet.worker.engine.media_limits import MediaLimitError
from facet.worker.engine.media_video import decode_video
from facet.worker.engine.port import Medium


@dataclass(frozen=True)
class DecodedMedium:
    """A medium as vLLM takes it.

    `data` is a PIL image, (samples, rate) or (frames, metadata). `recipe` names everything beside
    the bytes that decided it.
    """

    kind: str
    data: Any
    recipe: str


class MediaDecoder:
    """Decodes on its own threads. `time_limit_seconds` is for one medium."""

    def __init__(self, *, threads: int = 2, time_limit_seconds: float = 20.0) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="media-decode")
        self._time_limit_seconds = time_limit_seconds

    async def decode(self, media: Sequence[Medium], paths: Sequence[str]) -> list[DecodedMedium]:
        """Decode all media of a request; `paths` name their parts.

        Errors: MediaUndecodableError, naming the part; what waits for a thread is dropped then.
        """
        loop = asyncio.get_running_loop()

        async def decode_one(medium: Medium, path: str) -> DecodedMedium:
            return await loop.run_in_executor(self._pool, self._decode_one, medium, path)

        return await run_all(decode_one(*each) for each in zip(media, paths, strict=True))

    def close(self) -> None:
        """Let the threads end; what they decode is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _decode_one(self, medium: Medium, path: str) -> DecodedMedium:
        kind = medium.mime_type.partition("/")[0]
        deadline = time.monotonic() + self._time_limit_seconds
        try:
            return _decode(kind, medium.data, deadline)
        except TimeoutError as error:
            raise MediaUndecodableError.of(path, "takes too long to decode") from error
        except MediaLimitError as error:
            raise MediaUndecodableError.of(path, str(error)) from error
        # Codec libraries raise anything on broken input; none of it may end the worker.
        except Exception as error:
            raise MediaUndecodableError.of(
                path, f"cannot be decoded as {kind} ({type(error).__name__})"
            ) from error


def _decode(kind: str, data: bytes, deadline: float) -> DecodedMedium:
    """The recipes carry a version: raise it when the same bytes come out otherwise."""
    if kind == "image":
        return DecodedMedium(kind, decode_image(data, deadline), "image/1")
    if kind == "audio":
        return DecodedMedium(kind, decode_audio(data, deadline), "audio/1")
    return DecodedMedium(kind, decode_video(data, deadline), "video/1")
