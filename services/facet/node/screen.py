"""What the operator sees on standard error: one screen on a terminal, else a line per change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

from facet.node.log_tail import last_error
from facet.node.supervised import ProcessState, Supervised

_WIDTH = 100
_PROGRESS_SECONDS = 10.0


def render(processes: Sequence[Supervised], now: float, width: int = _WIDTH) -> list[str]:
    """The table of processes; `now` is on the clock of `since`."""
    lines = [f"{'process':<10} {'pid':>7}  {'state':<12} {'for':>8} {'restarts':>8}  last error"]
    for process in processes:
        error = last_error(process.program.log_path)
        lines.append(
            f"{process.name:<10} {process.pid or '-':>7}  {process.state.value:<12} "
            f"{_duration(now - process.since):>8} {process.restarts:>8}  {error}"
        )
    return [line[:width] for line in lines]


class Screen:
    """Draws the table where `stream` is a terminal, and writes sparse lines elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._drawn_lines = 0
        self._last_progress = 0.0

    def say(self, line: str) -> None:
        """Write one line that stays."""
        self.clear()
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def refresh(self, processes: Sequence[Supervised], now: float) -> None:
        """Draw the table again; without a terminal, tell now and then what still starts."""
        if self._is_terminal:
            self.clear()
            lines = render(processes, now, _terminal_width(self._stream))
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
            self._drawn_lines = len(lines)
        elif now - self._last_progress >= _PROGRESS_SECONDS:
            self._last_progress = now
            for process in processes:
                if process.state is ProcessState.STARTING:
                    self.say(f"{process.name}: starting, {_duration(now - process.since)} so far")

    def clear(self) -> None:
        """Take the table away, so that something else can be written to the same terminal."""
        if self._drawn_lines:
            # ANSI: up to the first line of the table, then clear to the end of the screen.
            self._stream.write(f"\x1b[{self._drawn_lines}A\x1b[J")
            self._stream.flush()
            self._drawn_lines = 0


def _terminal_width(stream: TextIO) -> int:
    try:
        # Some terminals tell a width of 0.
        return os.get_terminal_size(stream.fileno()).columns or _WIDTH
    except OSError:
        return _WIDTH


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
