"""The schema of the chart's values: valid, strict, described, and about the values that exist.

An object of the schema either lists its properties and refuses all others, or lists none and says
with `additionalProperties` what it passes through to Kubernetes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import yaml

from tools import helm
from tools.deploy_check.outcome import Outcome

Schema = dict[str, Any]
# Keywords that hold schemas, by the form in which they hold them.
_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_LIST = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "dependentSchemas")
# Every chart of a release gets `global`: it holds keys of others too.
_SHARED = "/properties/global"
# What follows narrows an object that is described elsewhere.
_NARROWING = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")


def subschemas(
    schema: Any, path: str = "", *, narrows: bool = False
) -> Iterator[tuple[str, Schema, bool]]:
    """All schemas inside one, with their path and whether they only narrow another."""
    if not isinstance(schema, dict):
        return
    yield path, schema, narrows
    for keyword in _ONE:
        yield from subschemas(
            schema.get(keyword), f"{path}/{keyword}", narrows=narrows or keyword in _NARROWING
        )
    for keyword in _LIST:
        for index, below in enumerate(schema.get(keyword) or []):
            yield from subschemas(below, f"{path}/{keyword}/{index}", narrows=True)
    for keyword in _NAMED:
        for name, below in (schema.get(keyword) or {}).items():
            yield from subschemas(
                below, f"{path}/{keyword}/{name}", narrows=narrows or keyword in _NARROWING
            )


def resolved(schema: Schema, root: Schema) -> Schema:
    """A schema with what it refers to inside the same document laid under it."""
    reference = schema.get("$ref", "")
    if not reference.startswith("#/"):
        return schema
    target: Any = root
    for step in reference.removeprefix("#/").split("/"):
        target = target[step]
    return {**resolved(target, root), **schema}


def strictness_problems(schema: Schema) -> Iterator[str]:
    """Objects that would take any key without saying so."""
    declared = schema.get("type")
    is_object = "object" in declared if isinstance(declared, list) else declared == "object"
    if not is_object and "properties" not in schema:
        return
    if "additionalProperties" not in schema:
        yield "says nothing of additionalProperties"
    elif schema.get("properties") and schema["additionalProperties"] is not False:
        yield "lists properties and takes others"


def description_problems(schema: Schema, root: Schema) -> Iterator[str]:
    """Properties of an object that nothing describes."""
    for name, below in (schema.get("properties") or {}).items():
        if not isinstance(below, dict) or not resolved(below, root).get("description"):
            yield f"{name} has no description"


def key_problems(values: Any, schema: Schema, root: Schema, path: str = "") -> Iterator[str]:
    """Keys that only one of values.yaml and the schema has; an empty map is the user's to fill."""
    schema = resolved(schema, root)
    known = schema.get("properties")
    if not isinstance(values, dict) or not values or not known:
        return
    for name in sorted(values.keys() - known.keys()):
        yield f"values.yaml has {path}{name}, the schema has not"
    for name in sorted(known.keys() - values.keys()):
        yield f"the schema has {path}{name}, values.yaml has not"
    for name in sorted(values.keys() & known.keys()):
        yield from key_problems(values[name], known[name], root, f"{path}{name}.")


def check_values_schema() -> Outcome:
    """Every object of values.schema.json, and values.yaml against it."""
    outcome = Outcome()
    root = json.loads((helm.CHART / "values.schema.json").read_text())
    values = yaml.safe_load((helm.CHART / "values.yaml").read_text())
    try:
        jsonschema.Draft202012Validator.check_schema(root)
    except jsonschema.SchemaError as error:
        return Outcome(1, [f"values.schema.json is no JSON Schema: {error.message}"])
    for path, schema, narrows in subschemas(root):
        found = (
            []
            if narrows
            else [
                *([] if path == _SHARED else strictness_problems(schema)),
                *description_problems(schema, root),
            ]
        )
        outcome.look(f"values.schema.json {path or '/'}: {problem}" for problem in found)
    outcome.look(key_problems(values, root, root))
    outcome.look(
        f"values.yaml: {error.json_path}: {error.message}"
        for error in jsonschema.Draft202012Validator(root).iter_errors(values)
    )
    return outcome
