"""docs/gke.md names only what exists: values, files, make targets and commands of Facet."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from facet.client.cli.app import build_parser
from tools import helm
from tools.checks import ROOT
from tools.deploy_check.values_schema import resolved

pytestmark = pytest.mark.integration

TEXT = (ROOT / "docs" / "gke.md").read_text()
SCHEMA = json.loads((helm.CHART / "values.schema.json").read_text())
_SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_VALUE = re.compile(
    r"`((?:gateway|worker|redis|networkPolicy|auth|autoscaler|ingress|tls)\.[\w.]+)`"
)


def commands() -> Iterator[list[str]]:
    """The words of each command, continuation lines joined."""
    for block in _SHELL.findall(TEXT):
        for line in block.replace("\\\n", " ").splitlines():
            yield shlex.split(line)


def of_program(*words: str) -> list[list[str]]:
    return [
        found[index:]
        for found in commands()
        for index in range(len(found))
        if tuple(found[index : index + len(words)]) == words
    ]


def is_value(path: str) -> bool:
    schema: dict[str, Any] = SCHEMA
    for name in path.split("."):
        schema = resolved(schema, SCHEMA)
        if "properties" not in schema:
            return schema.get("type") == "object"
        if name not in schema["properties"]:
            return False
        schema = schema["properties"][name]
    return True


def test_values_of_the_chart_exist() -> None:
    given = [
        setting.split("=")[0]
        for command in of_program("helm", "install", "facet")
        for option, setting in pairwise(command)
        if option == "--set"
    ]
    named = _VALUE.findall(TEXT)

    assert given
    assert len(named) >= 4
    assert [path for path in given + named if not is_value(path)] == []


def test_files_of_the_repository_exist() -> None:
    paths = [word for command in commands() for word in command if word.startswith("deploy/")]

    assert len(paths) >= 4
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_values_of_ci_are_named_with_their_folder() -> None:
    assert f"{helm.CHART.relative_to(ROOT)}/ci/" in TEXT


def test_every_secret_of_the_values_is_made() -> None:
    made = {command[4] for command in of_program("kubectl", "create", "secret", "generic")}
    wanted = set()
    for path in helm.values_files():
        if path.name.startswith(("gke-", "default-")):
            wanted |= set(re.findall(r"\w*[sS]ecret: ([\w-]+)", path.read_text()))

    assert wanted <= made


def test_commands_of_facet_are_understood() -> None:
    parser = build_parser()
    called = [command[1:] for command in of_program("facet")]
    called = [words for words in called if words and words[0] in {"models", "generate", "plan"}]
    called += [shlex.split(words) for words in re.findall(r"`facet (plan --[^`]+)`", TEXT)]

    assert len(called) >= 3
    for words in called:
        parser.parse_args(words)
