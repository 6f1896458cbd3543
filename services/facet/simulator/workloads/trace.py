"""Trace files: `TIMESTAMP,ContextTokens,GeneratedTokens`, a request a line."""

from __future__ import annotations

import heapq
import random
from array import array
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from facet.simulator.request import Request
from facet.simulator.workloads.workload import Workload

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_JITTER_SECONDS = 30.0
"""Copies of a request come so much earlier or later at most: the profile of one minute is kept."""
_FRACTION_DIGITS = 6
_MOST_TOKENS = 1 << 24


class TraceError(ValueError):
    """A file that is no trace: line, column and what is wanted."""


class Trace:
    """A trace in memory, 16 bytes a request. Lines may stand in any order of time."""

    def __init__(self, name: str, rows: list[tuple[float, int, int]]) -> None:
        rows.sort(key=lambda row: row[0])
        self.name = name
        self._times = array("d", (row[0] - rows[0][0] for row in rows))
        self._prompts = array("l", (row[1] for row in rows))
        self._outputs = array("l", (row[2] for row in rows))

    def __len__(self) -> int:
        return len(self._times)

    def stretched(self, factor: float) -> Trace:
        """The same with all times multiplied."""
        times = (at * factor for at in self._times)
        return Trace(self.name, list(zip(times, self._prompts, self._outputs, strict=True)))

    def scaled(self, load: float, seed: int) -> Workload:
        """`load` copies of each request, a fraction of one by chance; 1 is the trace itself.

        The first copy keeps its time, the others are moved by up to half a minute.
        """
        duration = self._times[-1] + 1.0
        return Workload(self.name, duration, lambda: self._copies(load, seed, duration))

    def _copies(self, load: float, seed: int, duration: float) -> Iterator[Request]:
        chance = random.Random(seed)  # noqa: S311 - a simulation
        whole, part = divmod(load, 1)
        later: list[tuple[float, int, int, int]] = []
        number = 0
        for at, prompt, output in zip(self._times, self._prompts, self._outputs, strict=True):
            while later and later[0][0] <= at - _JITTER_SECONDS:
                yield _request(heapq.heappop(later))
            copies = int(whole) + (chance.random() < part)
            for copy in range(copies):
                moved = at if copy == 0 and whole else _moved(at, duration, chance)
                number += 1
                heapq.heappush(later, (moved, number, prompt, output))
        while later:
            yield _request(heapq.heappop(later))


def _moved(at: float, duration: float, chance: random.Random) -> float:
    """Within the trace, and reflected at its ends, which would else be thinner or denser."""
    moved = abs(at + chance.uniform(-_JITTER_SECONDS, _JITTER_SECONDS))
    return moved if moved < duration else max(2 * duration - moved - 1.0, 0.0)


def _request(row: tuple[float, int, int, int]) -> Request:
    at, _, prompt, output = row
    return Request(at, prompt, output)


def read_trace(path: Path) -> Trace:
    """Read and check a file. Errors: TraceError, with the line and the column that are wrong."""
    rows = []
    try:
        with path.open(encoding="utf-8") as lines:
            header = next(lines, "").lstrip("\ufeff").strip()
            if header.split(",") != list(COLUMNS):
                raise TraceError(
                    f"{path}, line 1: the header {','.join(COLUMNS)} is wanted, not {header[:80]!r}"
                )
            for number, line in enumerate(lines, 2):
                if line.strip():
                    rows.append(_row(line.strip().split(","), f"{path}, line {number}"))
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: no text (byte {error.start} is not UTF-8)") from error
    if not rows:
        raise TraceError(f"{path}: no requests: at least one line after the header is wanted")
    return Trace(path.stem, rows)


def _row(cells: list[str], where: str) -> tuple[float, int, int]:
    if len(cells) != len(COLUMNS):
        raise TraceError(f"{where}: {len(COLUMNS)} columns are wanted, not {len(cells)}")
    stamp, prompt, output = cells
    return (
        _seconds(stamp, f"{where}, column {COLUMNS[0]}"),
        _tokens(prompt, f"{where}, column {COLUMNS[1]}"),
        _tokens(output, f"{where}, column {COLUMNS[2]}"),
    )


def _seconds(cell: str, where: str) -> float:
    """Of a date and time; digits beyond microseconds are dropped."""
    text, point, rest = cell.strip().partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    zone = rest[digits:]
    fraction = rest[: min(digits, _FRACTION_DIGITS)].ljust(_FRACTION_DIGITS, "0") if point else ""
    try:
        return datetime.fromisoformat(f"{text}{point}{fraction}{zone}").timestamp()
    except ValueError:
        raise TraceError(
            f"{where}: a date and time such as 2023-11-16 18:15:46.68 is wanted, not {cell[:40]!r}"
        ) from None


def _tokens(cell: str, where: str) -> int:
    if not cell.strip().isdecimal() or not 1 <= int(cell) <= _MOST_TOKENS:
        raise TraceError(f"{where}: a whole number of at least 1 is wanted, not {cell[:40]!r}")
    return int(cell)
