"""Values that follow a file, or a document elsewhere, while the service runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

Value = TypeVar("Value")

CHECK_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class HotReload(Generic[Value]):
    """The last good value of a source that may change, become unreadable or wrong.

    `read` may block, for a bounded time, and runs in a thread; `parse` runs there too. Both may
    raise OSError or ValueError, whose messages are logged and so must hold no secret.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], bytes],
        parse: Callable[[bytes], Value],
        initial: Value | None = None,
    ) -> None:
        """Without `initial` the source is read here, and its errors are the caller's."""
        self._name = name
        self._read = read
        self._parse = parse
        self._seen: bytes | None = None
        self._is_failing = False
        if initial is None:
            self._seen = read()
            initial = parse(self._seen)
        self._value = initial

    @property
    def value(self) -> Value:
        """The value in force."""
        return self._value

    @property
    def is_failing(self) -> bool:
        """Whether the last check could not read the source or make sense of it."""
        return self._is_failing

    async def check(self) -> None:
        """Read the source; a bad one leaves the value in force and is logged once."""
        try:
            news = await asyncio.to_thread(self._news)
        except (OSError, ValueError) as error:
            if not self._is_failing:
                _log.error("not reloaded, the last good one stays", what=self._name, why=str(error))
            self._is_failing = True
            return
        self._is_failing = False
        if news is not None:
            self._value = news
            _log.info("reloaded", what=self._name)

    async def run(self, every_seconds: float = CHECK_SECONDS) -> None:
        """Check for ever."""
        while True:
            await asyncio.sleep(every_seconds)
            await self.check()

    def _news(self) -> Value | None:
        content = self._read()
        if content == self._seen:
            return None
        parsed = self._parse(content)
        self._seen = content
        return parsed


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
