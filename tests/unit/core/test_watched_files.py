"""Values that are made of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from facet.core.watched_files import WatchedFiles

pytestmark = pytest.mark.unit


class Number:
    """Reads one, and counts how often."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.loads = 0

    def load(self) -> int:
        self.loads += 1
        return int(self._path.read_text())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "number"
    path.write_text("1")
    return path


def test_files_are_read_again_only_when_they_changed(path: Path) -> None:
    number = Number(path)
    watched = WatchedFiles([path], number.load)
    assert [watched.value() for _ in range(3)] == [1, 1, 1]
    assert number.loads == 1
    path.write_text("22")
    assert [watched.value() for _ in range(3)] == [22, 22, 22]
    assert number.loads == 2


def test_a_link_counts_as_changed_when_it_leads_elsewhere(tmp_path: Path, path: Path) -> None:
    (tmp_path / "other").write_text("2")
    link = tmp_path / "link"
    link.symlink_to(path)
    watched = WatchedFiles([link], Number(link).load)
    draft = tmp_path / "draft"
    draft.symlink_to(tmp_path / "other")
    draft.replace(link)
    assert watched.value() == 2


def test_the_last_good_value_stays_and_is_told_once_when_a_change_is_bad(path: Path) -> None:
    watched = WatchedFiles([path], Number(path).load)
    with capture_logs() as logs:
        path.write_text("none")
        assert [watched.value() for _ in range(3)] == [1, 1, 1]
        path.unlink()
        assert [watched.value() for _ in range(3)] == [1, 1, 1]
        path.write_text("333")
        assert watched.value() == 333
    assert [entry["log_level"] for entry in logs] == ["error", "error", "info"]


def test_files_are_tried_again_when_they_could_not_be_read_once(path: Path) -> None:
    number = Number(path)
    failures = [OSError("too many open files")]

    def load() -> int:
        if path.read_text() == "22" and failures:
            raise failures.pop()
        return number.load()

    watched = WatchedFiles([path], load)
    path.write_text("22")
    assert [watched.value() for _ in range(2)] == [1, 22]


def test_nothing_is_made_when_the_files_are_bad_from_the_start(path: Path) -> None:
    path.write_text("none")
    with pytest.raises(ValueError, match="none"):
        WatchedFiles([path], Number(path).load)
