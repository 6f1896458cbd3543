"""Whether the documents speak of things that exist: files linked, make targets, the ADR index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_MAKE = re.compile(r"\bmake ((?:-\S+ )*[a-z][a-z0-9-]*)(?=[\s`]|$)", re.MULTILINE)
_TARGET = re.compile(r"^([a-z][a-z0-9-]*)(?: [a-z0-9 -]*)?:", re.MULTILINE)
_CODE = re.compile(r"`[^`]+`|^```.*?^```", re.MULTILINE | re.DOTALL)
_ADR = re.compile(r"^\d{4}-[a-z0-9-]+\.md$")


def documents(root: Path) -> list[Path]:
    """All hand-written documents."""
    return sorted([*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("deploy/**/*.md")])


def doc_problems(root: Path) -> list[str]:
    """Everything that does not hold, one line each."""
    makefile = (root / "Makefile").read_text()
    targets = set(_TARGET.findall(makefile))
    problems = []
    for path in documents(root):
        text = path.read_text()
        name = path.relative_to(root)
        problems += [f"{name}: link to {link}, which is not there" for link in _dead(path, text)]
        problems += [
            f"{name}: `make {target}` is not in the Makefile"
            for target in _make_targets(text)
            if target not in targets
        ]
    return problems + _unlisted_adrs(root)


def _dead(path: Path, text: str) -> Iterator[str]:
    for link in _LINK.findall(text):
        target = link.split("#")[0]
        if target and "://" not in target and not (path.parent / target).exists():
            yield link


def _make_targets(text: str) -> Iterator[str]:
    for code in _CODE.findall(text):
        for words in _MAKE.findall(code):
            yield words.split()[-1]


def _unlisted_adrs(root: Path) -> list[str]:
    folder = root / "docs" / "adr"
    index = (folder / "README.md").read_text() if (folder / "README.md").exists() else ""
    return [
        f"docs/adr/{path.name} is not in docs/adr/README.md"
        for path in sorted(folder.glob("*.md"))
        if _ADR.match(path.name) and f"({path.name})" not in index
    ]
