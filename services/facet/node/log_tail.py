"""What the end of a process's log tells."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

_TAIL_BYTES = 8192
_LINE_WIDTH = 160
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def last_error(log_path: Path) -> str:
    """The last line that tells an error; empty where there is none."""
    for line in reversed(_lines(log_path)):
        error = _error_in(line)
        if error:
            return error
    return ""


def last_words(log_path: Path) -> str:
    """The last error, else the last line; empty for a log without lines."""
    return last_error(log_path) or _plain("".join(_lines(log_path)[-1:]))


def _lines(log_path: Path) -> list[str]:
    """The last lines that are not empty."""
    try:
        with log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip()]


def _error_in(line: str) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        return _plain(line) if "ERROR" in line or "Error: " in line else ""
    if isinstance(record, dict) and record.get("level") in {"error", "critical"}:
        return _plain(str(record.get("event", "")))
    return ""


def _plain(text: str) -> str:
    """Shortened, without colours and what else would steer a terminal."""
    return "".join(c for c in _COLOUR.sub("", text) if c.isprintable())[:_LINE_WIDTH]
