"""README of the chart, from its schema and values: `python -m tools.chart_readme` writes it."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tools.helm import CHART

FILE = CHART / "README.md"
TEMPLATE = CHART / "README.md.template"
SCHEMA = CHART / "values.schema.json"
VALUES = CHART / "values.yaml"

Schema = Mapping[str, Any]

_TABLE = "<!-- values -->"
_NOTHING = object()
# A pool may set what `worker` sets; the schema says so by reference, the table in one sentence.
_SAME_AS = "#/properties/worker/"


@dataclass(frozen=True)
class Key:
    """One key of the values. `path` has dots between parts and `[]` after lists; `schema` has no
    references left at its top; `default` is JSON, empty where values.yaml has no such key.
    """

    path: str
    schema: Schema
    default: str


def keys(schema: Schema, values: object) -> Iterator[Key]:
    """All keys in the schema's order, each before those below it; `values` are the defaults."""
    yield from _below(schema, schema, values, "")


def resolve(root: Schema, schema: Schema) -> Schema:
    """The schema without a reference at its top; keywords beside the reference win."""
    while "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = {**target, **{name: what for name, what in schema.items() if name != "$ref"}}
    return schema


def render() -> str:
    """The file, as it has to be."""
    lines = ["| key | type | default | description |", "|---|---|---|---|"]
    for key in keys(json.loads(SCHEMA.read_text()), yaml.safe_load(VALUES.read_text())):
        default = f"`{key.default}`" if key.default else ""
        description = key.schema.get("description", "")
        lines.append(f"| `{key.path}` | {_type(key.schema)} | {default} | {description} |")
    return TEMPLATE.read_text().replace(_TABLE, "\n".join(lines))


def differences() -> str:
    """How the committed file differs from schema and values, as a diff; empty where it does not."""
    kept = FILE.read_text() if FILE.exists() else ""
    lines = difflib.unified_diff(
        kept.splitlines(), render().splitlines(), f"committed {FILE.name}", "schema", lineterm=""
    )
    return "\n".join(lines)


def main() -> int:
    """Write the file anew."""
    FILE.write_text(render())
    return 0


def _below(root: Schema, schema: Schema, values: object, prefix: str) -> Iterator[Key]:
    if "items" in schema:
        items = schema["items"]
        yield from _below(root, resolve(root, items), _NOTHING, f"{prefix}[]")
        return
    for name, raw in schema.get("properties", {}).items():
        if raw.get("$ref", "").startswith(_SAME_AS):
            continue
        value = values.get(name, _NOTHING) if isinstance(values, Mapping) else _NOTHING
        own = resolve(root, raw)
        has_parts = "properties" in own and value != {}
        default = "" if value is _NOTHING or has_parts else json.dumps(value)
        path = f"{prefix}.{name}".lstrip(".")
        yield Key(path, own, default)
        # What lists of Kubernetes' own objects hold is described there.
        if "properties" in own or "items" in raw:
            yield from _below(root, own, value, path)


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return "string"
    kinds = schema["type"]
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


if __name__ == "__main__":
    sys.exit(main())
