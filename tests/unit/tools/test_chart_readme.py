"""The README of the chart is made from its schema and values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import chart_readme
from tools.chart_readme import Key, keys

pytestmark = pytest.mark.unit

SCHEMA = {
    "properties": {
        "a": {"$ref": "#/$defs/text", "description": "Own."},
        "b": {
            "type": "object",
            "properties": {"c": {"$ref": "#/$defs/text"}, "d": {"type": "integer"}},
        },
        "list": {"type": "array", "items": {"properties": {"e": {"type": "boolean"}}}},
    },
    "$defs": {"text": {"type": "string", "description": "Shared."}},
}


def test_the_committed_file_is_what_schema_and_values_say() -> None:
    assert chart_readme.differences() == ""


def test_a_difference_is_named_when_the_file_was_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = tmp_path / "README.md"
    edited.write_text(chart_readme.render().replace("| `8470` |", "| `1` |"))
    monkeypatch.setattr(chart_readme, "FILE", edited)

    assert "-| `gateway.port` | integer | `1` |" in chart_readme.differences()


def test_all_is_missing_when_there_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart_readme, "FILE", tmp_path / "README.md")

    assert "+| key | type | default | description |" in chart_readme.differences()


def test_keys_are_listed_with_defaults_and_without_references() -> None:
    found: list[Key] = list(keys(SCHEMA, {"a": "x", "b": {"c": None}, "list": []}))

    assert [(key.path, key.default) for key in found] == [
        ("a", '"x"'),
        ("b", ""),
        ("b.c", "null"),
        ("b.d", ""),
        ("list", "[]"),
        ("list[].e", ""),
    ]
    assert found[0].schema == {"type": "string", "description": "Own."}
    assert found[2].schema["description"] == "Shared."
