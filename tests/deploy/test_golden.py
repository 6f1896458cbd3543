"""`make verify` notices when the chart and its committed renders part."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import golden

pytestmark = pytest.mark.integration


@pytest.fixture
def renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copied = Path(shutil.copytree(golden.GOLDEN, tmp_path / "golden"))
    monkeypatch.setattr(golden, "GOLDEN", copied)
    return copied


def test_nothing_differs_when_the_renders_are_the_committed_ones(renders: Path) -> None:
    assert renders.is_dir()
    assert golden.differences() == ""


def test_the_line_is_shown_when_a_render_differs(renders: Path) -> None:
    path = renders / "default.yaml"
    path.write_text(path.read_text().replace("replicas: 2", "replicas: 7"))

    differences = golden.differences()

    assert "-  replicas: 7" in differences
    assert "+  replicas: 2" in differences


def test_a_render_is_missed_when_it_is_not_committed(renders: Path) -> None:
    (renders / "full.yaml").unlink()

    assert "committed full.yaml" in golden.differences()


def test_a_render_is_named_when_no_values_belong_to_it(renders: Path) -> None:
    (renders / "old.yaml").write_text("")

    assert "old.yaml belongs to no values file" in golden.differences()
