"""How far a download is: a bar on a terminal, else a log line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

import structlog

_BAR_SECONDS = 0.2
_LOG_SECONDS = 5.0
_BAR_CELLS = 24
_log = structlog.get_logger(__name__)


class Progress:
    """Counts bytes and shows them now and then; one at a time, from one thread.

    `show` gets the progress, and `note` a line that stays.
    """

    def __init__(
        self,
        show: Callable[[Progress], None],
        note: Callable[[str], None],
        *,
        every_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.where, self.total_bytes, self.done_bytes = "", 0, 0
        self.note = note
        self._show = show
        self._every_seconds = every_seconds
        self._clock = clock
        self._began = self._shown = 0.0
        self._fetched = 0

    def start(self, where: str, total_bytes: int, done_bytes: int) -> None:
        """Begin; `done_bytes` were here before and do not count for the rate."""
        self.where, self.total_bytes, self.done_bytes = where, total_bytes, done_bytes
        self._began = self._clock()
        self._shown = float("-inf")
        self._fetched = 0
        self._tell()

    def advance(self, count: int) -> None:
        """So many bytes more; less than 0 where some were thrown away."""
        self.done_bytes += count
        self._fetched += max(count, 0)
        self._tell()

    def end(self) -> None:
        """Show the last state."""
        self._shown = float("-inf")
        self._tell()

    @property
    def bytes_per_second(self) -> float:
        """Mean rate of this run."""
        return self._fetched / max(self._clock() - self._began, 1e-3)

    @property
    def left_seconds(self) -> float | None:
        """Until the end at this rate; None where nothing arrived yet."""
        if not self._fetched:
            return None
        return (self.total_bytes - self.done_bytes) / self.bytes_per_second

    def _tell(self) -> None:
        if self._clock() - self._shown >= self._every_seconds:
            self._shown = self._clock()
            self._show(self)


def line(progress: Progress) -> str:
    """The state in words."""
    left = progress.left_seconds
    eta = "" if left is None else f", {int(left) // 60}:{int(left) % 60:02} left"
    return (
        f"{progress.where}: {progress.done_bytes / 1e9:.2f} of "
        f"{progress.total_bytes / 1e9:.2f} GB, "
        f"{progress.bytes_per_second / 1e6:.1f} MB/s{eta}"
    )


def logged() -> Progress:
    """Progress for services: structlog."""

    def show(progress: Progress) -> None:
        left = progress.left_seconds
        _log.info(
            "weights.downloading",
            location=progress.where,
            done_bytes=progress.done_bytes,
            total_bytes=progress.total_bytes,
            bytes_per_second=round(progress.bytes_per_second),
            left_seconds=None if left is None else round(left),
        )

    return Progress(
        show, lambda text: _log.info("weights.note", note=text), every_seconds=_LOG_SECONDS
    )


def shown(stream: TextIO = sys.stderr) -> Progress:
    """Progress for people: a bar where `stream` is a terminal, else lines."""
    if not stream.isatty():
        return Progress(
            lambda progress: _write(stream, line(progress) + "\n"),
            lambda text: _write(stream, text + "\n"),
            every_seconds=_LOG_SECONDS,
        )

    def draw(progress: Progress) -> None:
        share = progress.done_bytes / progress.total_bytes if progress.total_bytes else 1.0
        cells = max(0, min(_BAR_CELLS, int(share * _BAR_CELLS)))
        bar = "#" * cells + "." * (_BAR_CELLS - cells)
        is_last = progress.done_bytes == progress.total_bytes
        # ANSI: to the first column and clear the line.
        _write(stream, f"\r\x1b[K[{bar}] {line(progress)}" + ("\n" if is_last else ""))

    return Progress(
        draw, lambda text: _write(stream, f"\r\x1b[K{text}\n"), every_seconds=_BAR_SECONDS
    )


def _write(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()
