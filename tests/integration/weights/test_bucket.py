"""Downloads by obstore from a Cloud Storage on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.weights.test_hub import BOUND_SECONDS, PROGRAM, wait_for_partial
from tests.support.fake_storage import FakeStorage, fake_storage

pytestmark = pytest.mark.integration

OBJECTS = {
    "gemma/v1/config.json": b'{"model_type": "gemma4_unified"}',
    "gemma/v1/model.safetensors": bytes(range(256)) * 8192,
    "gemma/v1/pytorch_model.bin": b"never fetched",
    "gemma/v10/config.json": b"another prefix",
}


@pytest.fixture
def storage() -> Iterator[FakeStorage]:
    with fake_storage(OBJECTS) as serving:
        yield serving


def start(storage: FakeStorage, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(cache), "gs://models/gemma/v1", ""],
        env=os.environ | {"GOOGLE_BASE_URL": storage.address, "GOOGLE_SKIP_SIGNATURE": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fetch(storage: FakeStorage, cache: Path) -> subprocess.CompletedProcess[str]:
    process = start(storage, cache)
    out, err = process.communicate(timeout=BOUND_SECONDS)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def assert_whole(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    found = {path.name: path.read_bytes() for path in Path(done.stdout.strip()).iterdir()}
    names = ("config.json", "model.safetensors")
    assert found == {name: OBJECTS[f"gemma/v1/{name}"] for name in names}


def test_the_objects_of_the_prefix_are_here_when_it_is_fetched(
    storage: FakeStorage, tmp_path: Path
) -> None:
    assert_whole(fetch(storage, tmp_path))


def test_the_store_is_not_asked_when_the_objects_are_here(
    storage: FakeStorage, tmp_path: Path
) -> None:
    assert_whole(fetch(storage, tmp_path))
    storage.requests.clear()

    assert_whole(fetch(storage, tmp_path))

    assert storage.requests == []


def test_the_object_goes_on_when_the_connection_is_cut(
    storage: FakeStorage, tmp_path: Path
) -> None:
    storage.cut_after = 1_500_000

    assert_whole(fetch(storage, tmp_path))


def test_a_killed_download_goes_on_when_it_is_started_again(
    storage: FakeStorage, tmp_path: Path
) -> None:
    storage.pause_after = 1_500_000
    process = start(storage, tmp_path)
    wait_for_partial(tmp_path, 1 << 20)
    process.kill()
    process.communicate(timeout=BOUND_SECONDS)
    assert not list(tmp_path.rglob("*.safetensors"))
    storage.pause_after = None
    storage.go_on.set()
    storage.starts.clear()

    assert_whole(fetch(storage, tmp_path))

    # The rest of the object, then config.json, which shows the checkpoint.
    rest, config = storage.starts
    assert rest >= 1 << 20
    assert config == 0


def test_nothing_is_kept_when_an_object_stays_damaged(storage: FakeStorage, tmp_path: Path) -> None:
    storage.damage = True

    done = fetch(storage, tmp_path)

    assert "DigestError: gs://models/gemma/v1: model.safetensors arrived damaged" in done.stderr
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(("status", "words"), [(403, "storage.objectViewer"), (404, "gcloud")])
def test_the_remedy_is_named_when_the_store_refuses(
    storage: FakeStorage, tmp_path: Path, status: int, words: str
) -> None:
    storage.status = status

    done = fetch(storage, tmp_path)

    assert done.returncode == 1
    assert "AccessError: gs://models/gemma/v1: " in done.stderr
    assert words in done.stderr
