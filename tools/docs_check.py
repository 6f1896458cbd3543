"""Whether the documents speak of things that exist: files, make targets, commands, ADRs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from facet.client.cli.app import build_parser

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_MAKE = re.compile(r"\bmake ((?:-\S+ )*[a-z][a-z0-9-]*)(?=[\s`]|$)", re.MULTILINE)
_TARGET = re.compile(r"^([a-z][a-z0-9-]*)(?: [a-z0-9 -]*)?:", re.MULTILINE)
_CODE = re.compile(r"`[^`]+`|^```.*?^```", re.MULTILINE | re.DOTALL)
_FACET = re.compile(r"^`?(?:\.venv/bin/)?facet (\w[^`#]*)", re.MULTILINE)
_FLAG = re.compile(r"--[a-z][a-z-]*")
_DELEGATED = "simulate"
"""A command whose flags another parser knows."""
_ELLIPSIS = "..."
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
        problems += [f"{name}: `facet {words}` is no command" for words in _no_commands(text)]
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


def _no_commands(text: str) -> Iterator[str]:
    """Commands, up to the first word or flag that the command line does not know."""
    for code in _CODE.findall(text):
        for found in _FACET.findall(code):
            lines = found.replace("\\\n", " ")
            unknown = _unknown(lines.split("\n") if code.startswith("```") else [lines])
            if unknown:
                yield unknown


def _unknown(lines: list[str]) -> str | None:
    words = lines[0].split()
    parser: argparse.ArgumentParser = build_parser()
    for index, word in enumerate(words):
        commands = _commands(parser)
        if not commands or word == _ELLIPSIS:
            break
        if word not in commands:
            return " ".join(words[: index + 1])
        parser = commands[word]
    if _commands(parser) or words[0] == _DELEGATED:
        return None
    known = parser.format_help()
    unknown = [flag for flag in _FLAG.findall(lines[0]) if not re.search(rf"{flag}\b(?!-)", known)]
    return f"{words[0]} ... {unknown[0]}" if unknown else None


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}


def _unlisted_adrs(root: Path) -> list[str]:
    folder = root / "docs" / "adr"
    index = (folder / "README.md").read_text() if (folder / "README.md").exists() else ""
    return [
        f"docs/adr/{path.name} is not in docs/adr/README.md"
        for path in sorted(folder.glob("*.md"))
        if _ADR.match(path.name) and f"({path.name})" not in index
    ]
