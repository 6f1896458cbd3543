"""The last good value of a source that changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from facet.core.hot_reload import HotReload, read_bounded

pytestmark = pytest.mark.unit


class Number:
    """Reads one, and counts how often it is made anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.parsed = 0

    def read(self) -> bytes:
        return self._path.read_bytes()

    def parse(self, content: bytes) -> int:
        self.parsed += 1
        return int(content)

    def followed(self) -> HotReload[bytes, int]:
        return HotReload("number", self.read, self.parse)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "number"
    path.write_text("1")
    return path


def test_the_value_is_made_again_only_when_the_content_changed(path: Path) -> None:
    number = Number(path)
    followed = number.followed()
    path.touch()
    assert [followed.fresh() for _ in range(3)] == [1, 1, 1]
    assert number.parsed == 1
    path.write_text("22")
    assert followed.value == 1
    assert [followed.fresh() for _ in range(3)] == [22, 22, 22]
    assert (number.parsed, followed.value) == (2, 22)


def test_a_link_counts_as_changed_when_it_leads_elsewhere(tmp_path: Path, path: Path) -> None:
    (tmp_path / "other").write_text("2")
    link = tmp_path / "link"
    link.symlink_to(path)
    followed = Number(link).followed()
    draft = tmp_path / "draft"
    draft.symlink_to(tmp_path / "other")
    draft.replace(link)
    assert followed.fresh() == 2


def test_the_last_good_value_stays_and_each_reason_is_told_once_when_a_change_is_bad(
    path: Path,
) -> None:
    followed = Number(path).followed()
    with capture_logs() as logs:
        path.write_text("none")
        assert [followed.fresh() for _ in range(3)] == [1, 1, 1]
        path.unlink()
        assert [followed.fresh() for _ in range(3)] == [1, 1, 1]
        path.write_text("333")
        assert followed.fresh() == 333
    assert [entry["log_level"] for entry in logs] == ["error", "error", "info"]
    assert "none" in logs[0]["why"]


def test_a_source_is_tried_again_when_it_could_not_be_read_once(path: Path) -> None:
    number = Number(path)
    failures = [OSError("too many open files")]

    def read() -> bytes:
        if path.read_text() == "22" and failures:
            raise failures.pop()
        return number.read()

    followed = HotReload("number", read, number.parse)
    path.write_text("22")
    assert [followed.fresh() for _ in range(2)] == [1, 22]


def test_nothing_is_made_when_the_source_is_bad_from_the_start(path: Path) -> None:
    path.write_text("none")
    with pytest.raises(ValueError, match="none"):
        Number(path).followed()


async def test_the_value_is_followed_when_the_first_one_was_given(path: Path) -> None:
    number = Number(path)
    followed = HotReload("number", number.read, number.parse, initial=0)
    assert (followed.value, number.parsed) == (0, 0)
    await followed.check()
    assert followed.value == 1


def test_files_of_a_folder_are_read_one_after_the_other_when_it_is_a_mounted_secret(
    tmp_path: Path,
) -> None:
    (tmp_path / "b").write_text("2")
    (tmp_path / "a").write_text("1\n")
    (tmp_path / "..data").write_text("hidden")
    assert read_bounded(tmp_path, 10) == b"1\n2\n"
    with pytest.raises(ValueError, match="larger than 2 bytes"):
        read_bounded(tmp_path, 2)
