"""Where a worker's weights are, and what it refuses before it fetches them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from facet import nano
from facet.profiles.catalogue import W4A16
from facet.worker import checkpoints
from facet.worker.checkpoints import local_checkpoints
from facet.worker.engine.port import EngineSettingsError
from facet.worker.settings import WorkerSettings

pytestmark = pytest.mark.unit


def settings(**fields: Any) -> WorkerSettings:
    return WorkerSettings(redis_url=SecretStr("redis://127.0.0.1:1/0"), **fields)


async def test_the_package_is_named_when_nothing_here_reads_the_format(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(checkpoints, "find_spec", lambda _name: None)
    asked = settings(load_format="runai_streamer", weights=str(tmp_path), offline=True)

    with pytest.raises(EngineSettingsError, match="needs the package runai-model-streamer"):
        await local_checkpoints(asked)


@pytest.mark.parametrize("load_format", ["", "auto", "runai_streamer"])
async def test_the_weights_are_the_same_when_a_format_says_how_they_are_read(
    monkeypatch: pytest.MonkeyPatch, load_format: str
) -> None:
    monkeypatch.setattr(checkpoints, "find_spec", lambda _name: object())

    found = await local_checkpoints(settings(load_format=load_format))

    assert (found.target, found.drafter) == (nano.TARGET_DIR, nano.DRAFTER_DIR)


async def test_nothing_is_fetched_when_the_engine_is_simulated() -> None:
    """Offline, the profile's own weights would be refused."""
    found = await local_checkpoints(
        settings(engine="simulated", profile=W4A16.name, load_format="runai_streamer", offline=True)
    )

    assert found.target == nano.TARGET_DIR


def test_a_format_is_refused_when_its_reader_is_in_no_image() -> None:
    with pytest.raises(ValueError, match="load_format"):
        settings(load_format="fastsafetensors")
