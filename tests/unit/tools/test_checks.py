"""How checks report, and the comparison that proves generated files fresh."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.checks import Check, run_checks
from tools.verify import tree_differences

pytestmark = pytest.mark.unit


def test_status_is_zero_when_every_check_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_checks([Check("one", lambda: ""), Check("two", lambda: "")]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["ok", "ok"]


def test_all_checks_run_and_the_remedy_is_told_when_one_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    checks = [Check("one", lambda: "it is wrong", "make one"), Check("two", lambda: "")]

    assert run_checks(checks) == 1
    out = capsys.readouterr().out
    assert "FAILED  one" in out
    assert "mend it with: make one" in out
    assert "it is wrong" in out
    assert "ok      two" in out


def test_trees_are_equal_when_only_compiled_files_differ(tmp_path: Path) -> None:
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "same.py").write_text("same")
    (tmp_path / "a" / "__pycache__").mkdir()
    (tmp_path / "a" / "__pycache__" / "same.pyc").write_text("x")

    assert tree_differences(tmp_path / "a", tmp_path / "b") == ""


def test_every_difference_is_named_when_trees_differ(tmp_path: Path) -> None:
    for side, names in (("a", ("old", "both")), ("b", ("new", "both"))):
        (tmp_path / side).mkdir()
        for name in names:
            (tmp_path / side / name).write_text(side)

    assert tree_differences(tmp_path / "a", tmp_path / "b").splitlines() == [
        "stale: old is no longer generated",
        "missing: new",
        "differs: both",
    ]
