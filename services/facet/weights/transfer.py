"""Brings remote files to disk: resumed, checked, and visible under their names only when whole."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from facet.weights.digest import Digest
from facet.weights.errors import (
    DigestError,
    DiskFullError,
    PassingError,
    StoppedError,
    UnreachableError,
)
from facet.weights.names import is_plain_name
from facet.weights.progress import Progress

_Answer = TypeVar("_Answer")
_MARGIN_BYTES = 64 << 20
"""Left free on the disk beside what is downloaded."""
_LOCK_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class RemoteFile:
    """One file of a checkpoint's folder; `key` names its content, and is a file name too.

    Errors: ValueError where one of them is none: both come from elsewhere, and become paths.
    """

    name: str
    size: int
    key: str
    digest: Digest

    def __post_init__(self) -> None:
        """See the class."""
        for name in (self.name, self.key):
            if not is_plain_name(name):
                raise ValueError(f"{name!r} is no name of a file")


class Listing(Protocol):
    """The remote side of a download: its files in the order of fetching, and their bytes."""

    files: list[RemoteFile]

    @property
    def version(self) -> str:
        """Names this content: a commit, or a digest of all ETags."""

    def read(self, file: RemoteFile, start: int) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes from `start` on. Errors: PassingError, WeightsError."""


@dataclass(frozen=True)
class Patience:
    """How often a file is tried without any progress, and the first pause; pauses double."""

    attempts: int = 6
    first_seconds: float = 1.0
    longest_seconds: float = 60.0

    def pause(self, failures: int, asked_seconds: float | None) -> float:
        """Seconds until the next attempt; what a server asks for is kept, up to 5 minutes."""
        own = min(self.first_seconds * (1 << (failures - 1)), self.longest_seconds)
        return max(own, min(asked_seconds or 0.0, 300.0))


@dataclass(frozen=True)
class Transfer:
    """One download. `stop` ends it between two chunks; `place` gives the final path of a file."""

    source: Listing
    where: str
    place: Callable[[RemoteFile], Path]
    progress: Progress
    stop: threading.Event = field(default_factory=threading.Event)
    patience: Patience = field(default_factory=Patience)

    def fetch(self, files: Sequence[RemoteFile]) -> None:
        """Bring all that is missing. Errors: WeightsError; what arrived stays for the next time."""
        wanted = [file for file in files if not self._is_here(file)]
        left = {file.key: file.size - _size(self._partial(file)) for file in wanted}
        if wanted:
            check_disk(self.place(wanted[0]).parent, sum(left.values()), self.where)
        total = sum(file.size for file in files)
        self.progress.start(self.where, total, total - sum(left.values()))
        try:
            for file in wanted:
                self._fetch_whole(file)
        finally:
            self.progress.end()

    def _is_here(self, file: RemoteFile) -> bool:
        path = self.place(file)
        return _size(path) == file.size and path.is_file()

    def _partial(self, file: RemoteFile) -> Path:
        return self.place(file).parent / f"{file.key}.partial"

    def _fetch_whole(self, file: RemoteFile) -> None:
        partial = self._partial(file)
        # A second attempt from nothing: the first part may have been written by a failing disk.
        for _ in range(2):
            partial.parent.mkdir(parents=True, exist_ok=True)
            try:
                _open_own(partial).close()
            except OSError as error:
                raise _unwritable(partial, error) from error
            self._fetch_bytes(file, partial)
            found = file.digest.of(partial)
            if _size(partial) == file.size and found == file.digest.value:
                os.replace(partial, self.place(file))
                return
            self.progress.advance(-_size(partial))
            partial.unlink()
        raise DigestError(
            f"{self.where}: {file.name} arrived damaged twice: {file.digest.name} {found}, "
            f"promised {file.digest.value}; nothing was kept of it. A proxy may alter it: "
            "try another network, or name a local directory"
        )

    def _fetch_bytes(self, file: RemoteFile, partial: Path) -> None:
        failures = 0
        while (size := _size(partial)) < file.size:
            try:
                self._append(file, partial, size)
                # The server ended the body early without a word.
                problem = PassingError("the connection ended early")
            except PassingError as error:
                problem = error
            except OSError as error:
                raise _unwritable(partial, error) from error
            if _size(partial) >= file.size:
                return
            failures = 1 if _size(partial) > size else failures + 1
            if failures >= self.patience.attempts:
                raise UnreachableError(
                    f"{self.where}: {file.name} stopped at {_size(partial)} of {file.size} bytes: "
                    f"{problem}; the same command goes on from there"
                )
            self.progress.note(f"{file.name}: {problem}, trying again")
            if self.stop.wait(self.patience.pause(failures, problem.after_seconds)):
                raise StoppedError(f"{self.where}: stopped")

    def _append(self, file: RemoteFile, partial: Path, start: int) -> None:
        left = file.size - start
        with self.source.read(file, start) as chunks, _open_own(partial) as output:
            for chunk in chunks:
                if self.stop.is_set():
                    raise StoppedError(f"{self.where}: stopped")
                # Who sends more than was promised must not fill the disk.
                output.write(chunk[:left])
                self.progress.advance(len(chunk[:left]))
                left -= len(chunk)
                if left <= 0:
                    break
            os.fsync(output.fileno())


def check_disk(directory: Path, needed_bytes: int, where: str) -> None:
    """Errors: DiskFullError, where `directory` cannot take so many bytes more."""
    there = directory
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < needed_bytes + _MARGIN_BYTES:
        raise DiskFullError(
            f"{where}: {needed_bytes / 1e9:.2f} GB are still to be downloaded, and {directory} has "
            f"{free / 1e9:.2f} GB free; free space, or name another disk with "
            "FACET_WORKER_WEIGHTS_CACHE"
        )


def persistently(
    ask: Callable[[], _Answer], where: str, patience: Patience, stop: threading.Event
) -> _Answer:
    """The answer of `ask`, asked again while failures may pass. Errors: WeightsError."""
    for failures in range(1, patience.attempts + 1):
        try:
            return ask()
        except PassingError as error:
            if failures == patience.attempts:
                raise UnreachableError(f"{where}: no answer: {error}") from error
            if stop.wait(patience.pause(failures, error.after_seconds)):
                raise StoppedError(f"{where}: stopped") from error
    raise AssertionError("patience has no attempts")


@contextmanager
def locked(path: Path, progress: Progress, stop: threading.Event) -> Iterator[None]:
    """One process at a time; a second one waits, and finds the files.

    Errors: StoppedError, and OSError for a path that cannot be written or is a link.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _open_own(path) as handle:
        is_told = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not is_told:
                    progress.note(f"another process downloads; waiting for {path}")
                    is_told = True
                if stop.wait(_LOCK_POLL_SECONDS):
                    raise StoppedError(f"{path}: stopped") from None
        yield


def _unwritable(path: Path, error: OSError) -> DiskFullError:
    return DiskFullError(
        f"{path}: {error.strerror}; free space or name another FACET_WORKER_WEIGHTS_CACHE"
    )


def _open_own(path: Path) -> io.FileIO:
    """Open for appending, unbuffered. A link in its place is refused: others may have laid it."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW, 0o666)

    return io.FileIO(path, "a", opener=opener)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
