"""Checkpoints whose weights stay in a bucket, from a Cloud Storage on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from facet import nano
from facet.weights import record
from facet.weights.cached import default_cache
from facet.weights.errors import LocationError, NotCachedError
from facet.weights.progress import logged
from facet.weights.sources import Fetching, resolve, resolve_streamed
from facet.worker import checkpoints
from facet.worker.checkpoints import Checkpoints, local_checkpoints
from facet.worker.engine.fingerprint import fingerprint
from facet.worker.settings import WorkerSettings
from tests.support.fake_storage import FakeStorage, fake_storage

pytestmark = pytest.mark.integration

SOURCE = "gs://models/gemma/v1"
WEIGHTS = "gemma/v1/model.safetensors"
OBJECTS = {
    "gemma/v1/config.json": b'{"model_type": "gemma4_unified"}',
    "gemma/v1/tokenizer.json": b"{}",
    WEIGHTS: bytes(range(256)) * 64,
    "empty/config.json": b"{}",
}


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStorage]:
    with fake_storage(OBJECTS) as serving:
        monkeypatch.setenv("GOOGLE_BASE_URL", serving.address)
        monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
        yield serving


def fetching(cache: Path) -> Fetching:
    return Fetching(logged(), default_cache(cache))


async def found_by_a_worker(
    monkeypatch: pytest.MonkeyPatch, cache: Path, **settings: Any
) -> Checkpoints:
    monkeypatch.setattr(checkpoints, "find_spec", lambda _name: object())
    return await local_checkpoints(
        WorkerSettings(
            redis_url=SecretStr("redis://127.0.0.1:1/0"),
            weights=SOURCE,
            weights_cache=cache,
            **{"load_format": "runai_streamer", **settings},
        )
    )


def test_only_the_weights_stay_away_when_they_are_streamed(
    storage: FakeStorage, tmp_path: Path
) -> None:
    directory = resolve_streamed(f"{SOURCE}/", fetching(tmp_path))

    names = {path.name for path in directory.iterdir()}
    assert names == {"config.json", "tokenizer.json", record.NAME}
    kept = record.read(directory)
    assert kept is not None
    assert kept.location == SOURCE
    assert [(name, size) for name, size, _ in kept.files] == [("model.safetensors", 16384)]
    assert not any(path.startswith(f"/models/{WEIGHTS}") for path in storage.requests)


def test_the_fingerprint_is_another_when_streamed_weights_were_replaced(
    storage: FakeStorage, tmp_path: Path
) -> None:
    before = fingerprint(resolve_streamed(SOURCE, fetching(tmp_path)), ())
    assert fingerprint(resolve_streamed(SOURCE, fetching(tmp_path)), ()) == before

    storage.objects[WEIGHTS] = bytes(16384)

    assert fingerprint(resolve_streamed(SOURCE, fetching(tmp_path)), ()) != before


@pytest.mark.parametrize("source", ["gs://models/empty", "google/gemma", "/models/gemma"])
def test_the_reason_is_told_when_nothing_can_be_streamed(
    storage: FakeStorage, tmp_path: Path, source: str
) -> None:
    with pytest.raises(LocationError, match=r"safetensors|from gs://"):
        resolve_streamed(source, fetching(tmp_path))


async def test_the_engine_is_told_the_bucket_when_the_format_streams(
    storage: FakeStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = await found_by_a_worker(monkeypatch, tmp_path)

    assert found.streamed == SOURCE
    assert (found.target / "config.json").is_file()
    assert not (found.target / "model.safetensors").exists()
    assert found.drafter == nano.DRAFTER_DIR


async def test_the_copy_is_read_when_the_bucket_was_downloaded(
    storage: FakeStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = resolve(SOURCE, fetching(tmp_path))
    storage.requests.clear()

    found = await found_by_a_worker(monkeypatch, tmp_path)

    assert (found.target, found.streamed) == (copy, "")
    assert storage.requests == []


async def test_the_bucket_is_downloaded_when_the_format_reads_files(
    storage: FakeStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = await found_by_a_worker(monkeypatch, tmp_path, load_format="auto")

    assert found.streamed == ""
    assert (found.target / "model.safetensors").read_bytes() == OBJECTS[WEIGHTS]


async def test_nothing_is_streamed_when_the_worker_is_offline(
    storage: FakeStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(NotCachedError):
        await found_by_a_worker(monkeypatch, tmp_path, offline=True)
    assert storage.requests == []
