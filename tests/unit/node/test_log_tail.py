"""What the end of a log tells."""

from pathlib import Path

import pytest

from facet.node.log_tail import last_error, last_words

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("log", "error"),
    [
        ("", ""),
        ('{"level": "info", "event": "Error: not one"}\n', ""),
        ('{"level": "error", "event": "a"}\n{"level": "info", "event": "b"}\n', "a"),
        ('{"level": "error", "event": "a"}\nValueError: b\n', "ValueError: b"),
        ("ERROR 11-24 engine died\nplain\n", "ERROR 11-24 engine died"),
        ("\x1b[31mERROR\x1b[0m red\x07\n", "ERROR red"),
        ("x" * 9000 + "\nKeyError: 'k'\n", "KeyError: 'k'"),
    ],
)
def test_the_last_error_is_found_when_a_log_has_one(tmp_path: Path, log: str, error: str) -> None:
    path = tmp_path / "log"
    path.write_text(log)

    assert last_error(path) == error


def test_the_last_line_is_told_when_there_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("first\nlast\n\n")

    assert last_words(path) == "last"


def test_nothing_is_told_when_there_is_no_log(tmp_path: Path) -> None:
    assert last_error(tmp_path / "none") == ""
    assert last_words(tmp_path / "none") == ""
