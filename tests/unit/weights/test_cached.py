"""Which folders count as a whole checkpoint, and where downloads lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facet.weights.cached import Cache, default_cache, missing_from
from facet.weights.location import BucketPrefix, HubModel

pytestmark = pytest.mark.unit

COMMIT = "a" * 40
MODEL = HubModel("org/name")


def index(*shards: str) -> str:
    return json.dumps({"weight_map": {f"layer.{shard}": shard for shard in shards}})


def folder(root: Path, files: dict[str, str]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({}, "config.json"),
        ({"model.safetensors": ""}, "config.json"),
        ({"config.json": ""}, "*.safetensors"),
        ({"config.json": "", "model.safetensors": ""}, ""),
        (
            {"config.json": "", "a.safetensors": "", "model.safetensors.index.json": "{"},
            "a readable model.safetensors.index.json",
        ),
        (
            {"config.json": "", "a.safetensors": "", "model.safetensors.index.json": "[]"},
            "a readable model.safetensors.index.json",
        ),
        (
            {
                "config.json": "",
                "a.safetensors": "",
                "model.safetensors.index.json": index("a.safetensors", "b.safetensors"),
            },
            "b.safetensors (1 files are missing)",
        ),
        (
            {
                "config.json": "",
                "a.safetensors": "",
                "model.safetensors.index.json": index("a.safetensors"),
            },
            "",
        ),
        (
            {"config.json": "", "model.safetensors.index.json": index("../a.safetensors")},
            "a model.safetensors.index.json that names files of this folder alone",
        ),
        (
            {"config.json": "", "model.safetensors.index.json": '{"weight_map": {"a": 7}}'},
            "a model.safetensors.index.json that names files of this folder alone",
        ),
    ],
)
def test_what_is_missing_is_named(files: dict[str, str], missing: str, tmp_path: Path) -> None:
    assert missing_from(folder(tmp_path, files)) == missing


WHOLE = {"config.json": "", "model.safetensors": ""}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return default_cache(tmp_path)


def test_a_snapshot_is_found_when_its_branch_was_downloaded(cache: Cache) -> None:
    snapshot = folder(cache.model_dir(MODEL) / "snapshots" / COMMIT, WHOLE)
    folder(cache.model_dir(MODEL) / "refs", {"main": COMMIT + "\n"})

    assert cache.find(MODEL) == snapshot
    assert cache.find(HubModel("org/name", COMMIT)) == snapshot
    assert cache.find(HubModel("org/name", "v2")) is None
    assert cache.find(HubModel("org/name", "b" * 40)) is None


def test_nothing_is_found_when_the_snapshot_is_not_whole(cache: Cache) -> None:
    folder(cache.model_dir(MODEL) / "snapshots" / COMMIT, {"model.safetensors": ""})
    folder(cache.model_dir(MODEL) / "refs", {"main": COMMIT})

    assert cache.find(MODEL) is None


def test_the_generation_is_found_when_a_bucket_was_downloaded(cache: Cache) -> None:
    location = BucketPrefix("bucket", "a/b")
    assert cache.find(location) is None

    generation = folder(cache.bucket_dir(location) / "0123", WHOLE)
    cache.current_of(location).symlink_to("0123")

    assert cache.find(location) == generation
    assert cache.find(BucketPrefix("bucket", "a")) is None


@pytest.mark.parametrize(
    ("env", "hub"),
    [
        ({"HF_HUB_CACHE": "/h"}, "/h"),
        ({"HF_HOME": "/home"}, "/home/hub"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/huggingface/hub"),
        ({"HOME": "/root"}, "/root/.cache/huggingface/hub"),
    ],
)
def test_downloads_lie_where_hugging_face_has_them_when_no_folder_is_named(
    env: dict[str, str], hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    assert default_cache().hub == Path(hub)


def test_nothing_is_found_when_a_branch_names_no_commit(cache: Cache) -> None:
    model = HubModel("org/name")
    home = cache.model_dir(model)
    folder(home / "elsewhere", WHOLE)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("../elsewhere")
    assert cache.find(model) is None
