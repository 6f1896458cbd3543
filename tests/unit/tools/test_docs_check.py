"""What `make verify` finds in documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.docs_check import doc_problems

pytestmark = pytest.mark.unit


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "adr").mkdir(parents=True)
    (tmp_path / "Makefile").write_text("run: setup ## Run\n\t@true\n")
    (tmp_path / "README.md").write_text("[docs](docs/guide.md#part) and `make run SEED=1`\n")
    (tmp_path / "docs" / "guide.md").write_text("```sh\nmake run\n```\nthings make sense\n")
    (tmp_path / "docs" / "adr" / "README.md").write_text("[0001](0001-first.md)\n")
    (tmp_path / "docs" / "adr" / "0001-first.md").write_text("# 0001\n")
    return tmp_path


def test_nothing_is_reported_when_everything_exists(project: Path) -> None:
    assert doc_problems(project) == []


def test_a_link_is_reported_when_its_file_is_gone(project: Path) -> None:
    (project / "docs" / "guide.md").unlink()

    assert doc_problems(project) == ["README.md: link to docs/guide.md#part, which is not there"]


def test_a_target_is_reported_when_the_makefile_lacks_it(project: Path) -> None:
    (project / "docs" / "guide.md").write_text("```sh\nmake walk\n```\n")

    assert doc_problems(project) == ["docs/guide.md: `make walk` is not in the Makefile"]


@pytest.mark.parametrize(
    "text",
    [
        "`facet admin dlq\n  redrive ID...`",
        "```sh\n.venv/bin/facet admin queues --json  # what waits\n```",
        "`facet admin ...`, `facet --tls`, `facet simulate --workload flash`",
    ],
)
def test_a_command_is_not_reported_when_the_command_line_has_it(project: Path, text: str) -> None:
    (project / "docs" / "guide.md").write_text(f"{text}\n")

    assert doc_problems(project) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("`facet admin dlq\n  replay ID`", "admin dlq replay"),
        ("```sh\nfacet admin scaler\n```", "admin scaler"),
        ("`facet admin usage --xml`", "admin ... --xml"),
        ("`facet serve`", "serve"),
    ],
)
def test_a_command_is_reported_when_the_command_line_lacks_it(
    project: Path, text: str, said: str
) -> None:
    (project / "docs" / "guide.md").write_text(f"{text}\n")

    assert doc_problems(project) == [f"docs/guide.md: `facet {said}` is no command"]


def test_a_record_is_reported_when_the_index_lacks_it(project: Path) -> None:
    (project / "docs" / "adr" / "0002-second.md").write_text("# 0002\n")

    assert doc_problems(project) == ["docs/adr/0002-second.md is not in docs/adr/README.md"]
