"""Names in the store."""

from __future__ import annotations

import re

import pytest

from facet.queue.keys import Keys, idempotency_name, lua_names, media_base

pytestmark = pytest.mark.unit


def test_all_names_carry_one_hash_tag_when_made() -> None:
    keys = Keys("default", "google/gemma-4-12b")
    base = "{facet:2:default:google/gemma-4-12b:0}"
    assert keys.base == base
    assert keys.single("leases") == f"{base}:leases"
    assert keys.of("log", "g-0-1") == f"{base}:log:g-0-1"


@pytest.mark.parametrize("name", ["", "a}b", "a{b", "a:b", "a b", "-a", "a" * 101, "é"])
def test_name_is_refused_when_it_could_break_a_key(name: str) -> None:
    with pytest.raises(ValueError, match="key"):
        Keys(name, "nano")
    with pytest.raises(ValueError, match="key"):
        Keys("default", name)
    with pytest.raises(ValueError, match="key"):
        media_base(name)


def test_unknown_name_is_refused_when_asked_for() -> None:
    keys = Keys("default", "nano")
    with pytest.raises(KeyError):
        keys.single("lease")
    with pytest.raises(KeyError):
        keys.of("logs", "g-0-1")


def test_scripts_use_the_same_names_when_they_build_keys() -> None:
    keys = Keys("default", "nano")
    definitions = "\n".join(lua_names())
    singles = re.findall(r"^local (\w+)_key = base \.\. '(.+)'$", definitions, re.MULTILINE)
    families = re.findall(
        r"^local function (\w+)_key\(member\) return base \.\. '(.+)' \.\. member end$",
        definitions,
        re.MULTILINE,
    )
    assert len(singles) + len(families) == len(definitions.splitlines()) - 1
    assert all(keys.base + suffix == keys.single(name) for name, suffix in singles)
    assert all(keys.base + suffix == keys.of(name, "") for name, suffix in families)


def test_request_ids_are_apart_when_tenant_and_id_join_to_one_text() -> None:
    names = {idempotency_name("a", "bc"), idempotency_name("ab", "c"), idempotency_name("1", "a")}
    assert len(names) == 3
