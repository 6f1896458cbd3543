"""The file with the terms of tenants: what it says, and that it is followed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from facet.gateway.tenants import Tenants, Terms
from facet.queue.values import Quota
from tests.support.conditions import until

pytestmark = pytest.mark.unit


def _file(folder: Path, document: Any) -> Path:
    path = folder / "tenants.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_nobody_is_limited_when_there_is_no_file() -> None:
    tenants = Tenants()
    assert (tenants.has_file, tenants.terms("alice")) == (False, Terms())
    assert not tenants.terms("alice").quota.is_limited


def test_own_terms_overrule_defaults_field_by_field_when_both_are_given(tmp_path: Path) -> None:
    document = {
        "defaults": {"requests_per_minute": 60, "max_concurrent": 4, "retention_seconds": 0},
        "tenants": {"acme": {"max_concurrent": 9, "requests_per_minute": None, "weight": 2}},
    }
    tenants = Tenants(_file(tmp_path, document))
    assert tenants.terms("bob").quota == Quota(requests_per_minute=60, max_concurrent=4)
    acme = tenants.terms("acme")
    assert acme.quota == Quota(max_concurrent=9)
    assert (acme.weight, acme.retention_seconds) == (2, 0)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], "the file"),
        ({"tenant": {}}, "tenant"),
        ({"defaults": {"rpm": 1}}, "defaults.rpm"),
        ({"tenants": {"acme": {"max_concurrent": 0}}}, "tenants.acme.max_concurrent"),
        ({"tenants": {"acme": {"weight": -1}}}, "tenants.acme.weight"),
        ({"defaults": {"retention_seconds": -1}}, "defaults.retention_seconds"),
    ],
)
def test_file_is_refused_with_the_place_when_it_is_wrong(
    tmp_path: Path, document: Any, place: str
) -> None:
    path = _file(tmp_path, document)
    with pytest.raises(ValueError, match=rf"tenants\.json: {place}: "):
        Tenants(path)


def test_file_is_refused_when_it_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"none\.json"):
        Tenants(tmp_path / "none.json")


async def test_terms_follow_when_the_file_changes_and_stay_when_it_is_bad(tmp_path: Path) -> None:
    tenants = Tenants(_file(tmp_path, {"defaults": {"max_concurrent": 1}}))
    _file(tmp_path, {"tenants": {"acme": {"max_concurrent": 22}}})
    await tenants.check()
    assert tenants.terms("acme").max_concurrent == 22
    assert tenants.terms("bob") == Terms()
    with capture_logs() as logs:
        (tmp_path / "tenants.json").write_text("{", encoding="utf-8")
        await tenants.check()
        await tenants.check()
        (tmp_path / "tenants.json").unlink()
        await tenants.check()
    assert [entry["event"] for entry in logs] == ["not reloaded, the last good one stays"] * 2
    assert "tenants.json" in logs[0]["why"]
    assert tenants.terms("acme").max_concurrent == 22


async def test_file_is_followed_when_it_runs(tmp_path: Path) -> None:
    tenants = Tenants(_file(tmp_path, {}))
    running = asyncio.create_task(tenants.run())
    _file(tmp_path, {"defaults": {"max_concurrent": 7}})

    async def is_known() -> bool:
        return tenants.terms("bob").max_concurrent == 7

    await until(is_known)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
