"""Room on the disk, before the first byte."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from facet.weights.digest import Digest
from facet.weights.errors import DiskFullError
from facet.weights.progress import Progress
from facet.weights.transfer import RemoteFile, Transfer

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
