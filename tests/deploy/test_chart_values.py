"""The schema, the values and the README of the chart say the same, about every key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tools import chart_readme, helm
from tools.chart_readme import resolve

pytestmark = pytest.mark.integration

SCHEMA: dict[str, Any] = json.loads(chart_readme.SCHEMA.read_text())
VALUES: dict[str, Any] = yaml.safe_load(chart_readme.VALUES.read_text())
KEYS = {key.path: key for key in chart_readme.keys(SCHEMA, VALUES)}
# Open on purpose: Kubernetes' own objects, maps with names of the user's, and an umbrella chart's.
OPEN = {
    "/$defs/object",
    "/$defs/peer",
    "/$defs/quantities",
    "/$defs/strings",
    "/$defs/volume",
    "/properties/auth/properties/tenants/properties/tenants",
    "/properties/global",
}


def objects(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of an object, and where it is."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield place, schema
        for name, below in schema.items():
            yield from objects(below, f"{place}/{name}")
    elif isinstance(schema, list):
        for number, below in enumerate(schema):
            yield from objects(below, f"{place}/{number}")


def paths(values: Any, prefix: str = "") -> Iterator[str]:
    """Every key of some values, lists not looked into."""
    if isinstance(values, dict):
        for name, below in values.items():
            yield f"{prefix}{name}"
            yield from paths(below, f"{prefix}{name}.")


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_defaults_are_valid() -> None:
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(VALUES)] == []


@pytest.mark.parametrize("path", helm.values_files(), ids=lambda path: path.stem)
def test_values_are_valid_when_they_are_of_ci(path: Any) -> None:
    given = yaml.safe_load(path.read_text())

    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(given)] == []


def test_every_object_refuses_unknown_keys_unless_it_is_passed_through() -> None:
    found = dict(objects(SCHEMA))
    is_open = {
        place for place, schema in found.items() if schema.get("additionalProperties") is not False
    }

    assert len(found) > 30
    assert is_open == OPEN


def test_every_key_is_described_in_a_sentence() -> None:
    bare = [
        path
        for path, key in KEYS.items()
        if not key.schema.get("description", "").endswith((".", ")"))
    ]

    assert bare == []


def test_every_key_of_the_schema_has_a_default() -> None:
    # Under an empty map or list the keys are those that a user may add.
    empty = [path for path, key in KEYS.items() if key.default in ("{}", "[]", "null")]
    lists = (
        *(f"{path}." for path in empty),
        "pools[]",
        "auth.keys[]",
        "otel.collector.to[]",
        "redis.external.ports[]",
    )
    missing = [
        path for path in KEYS if path not in set(paths(VALUES)) and not path.startswith(lists)
    ]

    assert missing == []


def test_every_default_is_of_a_key_of_the_schema() -> None:
    passed = ("requests", "limits", "matchLabels", "exporters")
    strange = [
        path
        for path in paths(VALUES)
        if path not in KEYS and not path.rpartition(".")[0].endswith(passed)
    ]

    assert strange == []
    assert len(KEYS) > 150


def test_a_pool_may_set_whatever_workers_have_in_common() -> None:
    pool = SCHEMA["properties"]["pools"]["items"]["properties"]
    common = SCHEMA["properties"]["worker"]["properties"]

    assert pool.keys() - common.keys() == {"name", "profile", "min", "max"}
    assert common.keys() <= pool.keys()
    for name, schema in common.items():
        assert resolve(SCHEMA, pool[name]) == resolve(SCHEMA, schema)
