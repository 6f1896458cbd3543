"""Values that follow files, or a document elsewhere, while the service runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

Content = TypeVar("Content")
Value = TypeVar("Value")

CHECK_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class HotReload(Generic[Content, Value]):
    """The last good value of a source that may change, become unreadable or wrong.

    `read` and `parse` may block, for a bounded time, and may raise OSError or ValueError, whose
    messages are logged and so must hold no secret. Contents are compared, so that a change is
    noticed whatever times and names the files have. Safe to share between threads.

    A source that is asked for in calls is checked beside them, by `run`; one that is asked for when
    a connection is opened needs nobody who looks in between: `fresh`.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], Content],
        parse: Callable[[Content], Value],
        initial: Value | None = None,
    ) -> None:
        """Without `initial` the source is read here, and its errors are the caller's."""
        self._name = name
        self._read = read
        self._parse = parse
        self._lock = threading.Lock()
        self._seen: Content | None = None
        self._fault = ""
        if initial is None:
            self._seen = read()
            initial = parse(self._seen)
        self._value = self._latest = initial

    @property
    def value(self) -> Value:
        """The value in force."""
        return self._value

    @property
    def is_failing(self) -> bool:
        """Whether the last look could not read the source or make sense of it."""
        return bool(self._fault)

    def fresh(self) -> Value:
        """Read the source and return what is in force then; blocks.

        A bad source leaves the value as it is; each reason is logged once.
        """
        self._value = self._looked()
        return self._value

    async def check(self) -> None:
        """`fresh` with the reading in a thread: the event loop sees the change when this ends."""
        self._value = await asyncio.to_thread(self._looked)

    async def run(self, every_seconds: float = CHECK_SECONDS) -> None:
        """Check for ever."""
        while True:
            await asyncio.sleep(every_seconds)
            await self.check()

    def _looked(self) -> Value:
        with self._lock:
            try:
                content = self._read()
                if content != self._seen:
                    self._latest = self._parse(content)
                    self._seen = content
                    _log.info("reloaded", what=self._name)
            except (OSError, ValueError) as error:
                fault = str(error) or type(error).__name__
                if fault != self._fault:
                    _log.error("not reloaded, the last good one stays", what=self._name, why=fault)
                self._fault = fault
            else:
                self._fault = ""
            return self._latest


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """A file whole, or all files of a directory one after the other, as a mounted Secret has them.

    Names that begin with a dot are left out: a Secret's `..data` is a link to what the other names
    already show. Errors: OSError; ValueError above `max_bytes`.
    """
    files = [path]
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    content = b""
    for file in files:
        with file.open("rb") as stream:
            content += stream.read(max_bytes + 1 - len(content))
        if len(content) > max_bytes:
            raise ValueError(f"{path} is larger than {max_bytes} bytes")
        if not content.endswith(b"\n") and len(files) > 1:
            content += b"\n"
    return content
