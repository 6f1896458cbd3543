"""A value that is made of files, and made anew when they change; what it was stays until then."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

_Value = TypeVar("_Value")
_Mark = tuple[int, ...] | None

_log = structlog.get_logger(__name__)


class WatchedFiles(Generic[_Value]):
    """The value that `load` makes of files; `load` raises OSError or ValueError when they are bad.

    Files are looked at when the value is asked for, at the cost of one `stat` each; links are
    followed, so the exchanged link of a Kubernetes volume counts as a change. Safe to share between
    threads.
    """

    def __init__(self, paths: Sequence[Path], load: Callable[[], _Value]) -> None:
        """Loads at once. Errors: those of `load`."""
        self._paths = tuple(paths)
        self._load = load
        self._lock = threading.Lock()
        self._marks: Sequence[_Mark] | None = self._look()
        self._value = load()
        self._told = ""

    def value(self) -> _Value:
        """The value of the files as they are, or of the last ones that were good.

        Why others are not is logged once. Files that cannot be read are tried again.
        """
        with self._lock:
            marks = self._look()
            if marks != self._marks:
                self._marks = marks
                self._reload()
            return self._value

    def _reload(self) -> None:
        paths = [str(path) for path in self._paths]
        try:
            self._value = self._load()
        except (OSError, ValueError) as error:
            if isinstance(error, OSError):
                # It may pass, and the files may not change again.
                self._marks = None
            if str(error) != self._told:
                self._told = str(error)
                _log.error("changed files are not used, what they held before is", why=self._told)
        else:
            self._told = ""
            _log.info("changed files are in use", files=paths)

    def _look(self) -> tuple[_Mark, ...]:
        return tuple(_mark(path) for path in self._paths)


def _mark(path: Path) -> _Mark:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
