"""What a download writes: where, how much, and through no link."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from facet.weights.digest import Digest
from facet.weights.errors import DigestError, DiskFullError
from facet.weights.progress import Progress
from facet.weights.transfer import RemoteFile, Transfer, locked

pytestmark = pytest.mark.unit

GB = 10**9


class Untouched:
    """A source of one large file that must not be read."""

    version = "1"

    def __init__(self) -> None:
        self.files = [RemoteFile("model.safetensors", 10 * GB, "key", Digest("size", str(10 * GB)))]

    def read(self, file: RemoteFile, start: int) -> AbstractContextManager[Iterator[bytes]]:
        raise AssertionError(f"{file.name} was read from {start}")


def transfer(folder: Path) -> Transfer:
    progress = Progress(lambda _: None, lambda _: None, every_seconds=1.0)
    return Transfer(Untouched(), "org/name", lambda file: folder / file.name, progress)


def test_both_numbers_are_told_before_the_first_byte_when_the_disk_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4 * GB))
    made = transfer(tmp_path / "not" / "yet")

    with pytest.raises(DiskFullError) as refused:
        made.fetch(made.source.files)

    for words in ("10.00 GB are still", "4.00 GB free", "FACET_WORKER_WEIGHTS_CACHE"):
        assert words in str(refused.value)
    assert not list(tmp_path.rglob("*.partial"))


def test_only_the_rest_has_to_fit_when_a_part_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4 * GB))
    with (tmp_path / "key.partial").open("wb") as sparse:
        sparse.truncate(7 * GB)
    made = transfer(tmp_path)

    with pytest.raises(AssertionError, match=f"read from {7 * GB}"):
        made.fetch(made.source.files)


class Sending:
    """A source of one file, whatever it was promised to be."""

    version = "1"

    def __init__(self, promised: bytes, *chunks: bytes) -> None:
        digest = Digest("sha256", hashlib.sha256(promised).hexdigest())
        self.files = [RemoteFile("config.json", len(promised), "key", digest)]
        self._chunks = chunks
        self.sent = 0

    @contextmanager
    def read(self, file: RemoteFile, start: int) -> Iterator[Iterator[bytes]]:
        assert start == 0

        def chunks() -> Iterator[bytes]:
            for chunk in self._chunks:
                self.sent += len(chunk)
                yield chunk

        yield chunks()


def fetch(source: Sending, folder: Path) -> None:
    progress = Progress(lambda _: None, lambda _: None, every_seconds=1.0)
    Transfer(source, "org/name", lambda file: folder / file.name, progress).fetch(source.files)


def test_no_byte_beyond_the_promised_size_is_written_when_more_is_sent(tmp_path: Path) -> None:
    source = Sending(b"hello", b"hel", b"lo, and " * 100, *[b"more" * 1000] * 100)
    fetch(source, tmp_path)
    assert (tmp_path / "config.json").read_bytes() == b"hello"
    assert source.sent < 1000


def test_nothing_appears_when_what_is_sent_is_not_what_was_promised(tmp_path: Path) -> None:
    with pytest.raises(DigestError, match="damaged twice"):
        fetch(Sending(b"hello", b"jello"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_a_partial_file_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "key.partial").symlink_to(victim)
    with pytest.raises(DiskFullError):
        fetch(Sending(b"hello", b"hello"), folder)
    assert victim.read_bytes() == b"keep"


def test_a_link_in_the_place_of_a_lock_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep")
    (tmp_path / "lock").symlink_to(victim)
    progress = Progress(lambda _: None, lambda _: None, every_seconds=1.0)
    with pytest.raises(OSError, match="symbolic"), locked(tmp_path / "lock", progress, Event()):
        pass
    assert victim.read_bytes() == b"keep"


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "/a", "a/b", "a\\b", "a\0"])
def test_a_file_is_refused_when_its_name_leads_elsewhere(name: str) -> None:
    for names in ((name, "key"), ("config.json", name)):
        with pytest.raises(ValueError, match="no name of a file"):
            RemoteFile(names[0], 1, names[1], Digest("size", "1"))
