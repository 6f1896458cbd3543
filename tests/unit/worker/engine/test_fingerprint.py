"""The fingerprint of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from facet.worker.engine import fingerprint as module
from facet.worker.engine.fingerprint import fingerprint

pytestmark = pytest.mark.unit


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(bytes(range(256)))
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / "config.json").write_text("[]"),
        lambda path: (path / "config.json").rename(path / "other.json"),
        lambda path: (path / "chat_template.jinja").write_text("x"),
    ],
)
def test_it_differs_when_the_checkpoint_does(
    checkpoint: Path, change: Callable[[Path], object]
) -> None:
    before = fingerprint(checkpoint, ["1"])
    assert fingerprint(checkpoint, ["1"]) == before
    change(checkpoint)
    assert fingerprint(checkpoint, ["1"]) != before


def test_it_differs_when_a_version_does(checkpoint: Path) -> None:
    assert fingerprint(checkpoint, ["1", "2"]) != fingerprint(checkpoint, ["12"])


def test_the_end_counts_when_a_file_is_too_large_to_be_read_whole(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WHOLE_BYTES", 16)
    monkeypatch.setattr(module, "_SAMPLE_BYTES", 4)
    before = fingerprint(checkpoint, [])
    (checkpoint / "model.safetensors").write_bytes(bytes(range(255)) + b"x")
    assert fingerprint(checkpoint, []) != before
