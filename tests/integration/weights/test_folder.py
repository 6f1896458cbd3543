"""Folders of plain files, filled by `copy_to` from a Hub on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.weights.test_hub import BOUND_SECONDS, FILES, MODEL, WANTED, WEIGHTS
from tests.support.fake_hub import COMMIT, FakeHub, fake_hub

pytestmark = pytest.mark.integration

OTHER = "google/other"
LATER = "beef" * 10
PROGRAM = """
import resource, sys
from pathlib import Path
from facet.weights.errors import WeightsError
from facet.weights.progress import shown
from facet.weights.sources import Fetching, copy_to
from facet.weights.transfer import Patience
text, directory, most = sys.argv[1:]
if most:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
try:
    print(copy_to(text, Path(directory), Fetching(shown(), patience=Patience(4, 0.05))))
except WeightsError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    # Of the same sizes: only digests tell them apart.
    other = FILES | {"model.safetensors": bytes(len(WEIGHTS))}
    with fake_hub({MODEL: FILES, OTHER: other}) as serving:
        yield serving


def fill(
    hub: FakeHub, folder: Path, text: str = MODEL, most: str = ""
) -> subprocess.CompletedProcess[str]:
    """`most` bounds the size of a file, as a full disk does."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, text, str(folder), most],
        env=os.environ | hub.environment,
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
        check=False,
    )


def assert_whole(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert done.returncode == 0, done.stderr
    found = {path.name: path.read_bytes() for path in folder.glob("[!.]*")}
    assert found == {name: FILES[name] for name in WANTED}


def assert_refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    assert done.returncode == 1
    for words in ("LocationError: ", *said):
        assert words in done.stderr.splitlines()[-1]


def test_revision_and_digests_are_recorded_when_a_folder_is_filled(
    hub: FakeHub, tmp_path: Path
) -> None:
    assert_whole(fill(hub, tmp_path), tmp_path)

    record = json.loads((tmp_path / ".facet-weights.json").read_text())
    assert (record["location"], record["version"]) == (MODEL, COMMIT)
    assert {entry["name"] for entry in record["files"]} == WANTED
    assert all(entry.keys() & {"sha256", "git-blob"} for entry in record["files"])


@pytest.mark.parametrize("text", [MODEL, f"{MODEL}@{COMMIT}"])
def test_the_hub_is_not_asked_when_the_folder_is_whole(
    hub: FakeHub, tmp_path: Path, text: str
) -> None:
    assert_whole(fill(hub, tmp_path), tmp_path)
    hub.requests.clear()

    assert_whole(fill(hub, tmp_path, text), tmp_path)

    assert hub.requests == []


@pytest.mark.parametrize("text", [OTHER, f"{MODEL}@{LATER}", f"{MODEL}@v2"])
def test_the_folder_is_refused_when_it_holds_another_revision(
    hub: FakeHub, tmp_path: Path, text: str
) -> None:
    assert_whole(fill(hub, tmp_path), tmp_path)

    done = fill(hub, tmp_path, text)

    assert_refused(done, f"holds {MODEL} at {COMMIT}", f"{text} is asked for", "remove that folder")
    assert (tmp_path / "model.safetensors").read_bytes() == WEIGHTS


def test_the_folder_is_refused_when_the_branch_moved_before_it_was_whole(
    hub: FakeHub, tmp_path: Path
) -> None:
    assert_whole(fill(hub, tmp_path), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    hub.commit = LATER

    assert_refused(fill(hub, tmp_path), f"{MODEL} is at {LATER} by now")


def test_the_folder_is_refused_when_nobody_knows_what_it_holds(
    hub: FakeHub, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)

    assert_refused(fill(hub, tmp_path), "model.safetensors and no record", "FACET_WORKER_WEIGHTS")
    assert hub.requests == []


def test_a_file_is_fetched_again_when_it_is_not_the_recorded_one(
    hub: FakeHub, tmp_path: Path
) -> None:
    assert_whole(fill(hub, tmp_path), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(bytes(len(WEIGHTS)))

    done = fill(hub, tmp_path)

    assert_whole(done, tmp_path)
    assert "model.safetensors is not what was recorded" in done.stderr


def test_the_folder_goes_on_when_the_disk_was_full(hub: FakeHub, tmp_path: Path) -> None:
    done = fill(hub, tmp_path, most=str(1 << 20))

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("DiskFullError: ")
    assert "FACET_WORKER_WEIGHTS_CACHE" in done.stderr
    assert not (tmp_path / "config.json").exists()
    assert_whole(fill(hub, tmp_path), tmp_path)


def test_no_file_outside_is_touched_when_a_model_brings_a_record_of_its_own(
    hub: FakeHub, tmp_path: Path
) -> None:
    folder, victim = tmp_path / "folder", tmp_path / "victim"
    victim.write_text("keep")
    planted = {"name": "../victim", "size": 1, "md5": "0" * 32}
    record = {"location": MODEL, "version": COMMIT, "files": [planted]}
    hub.models[MODEL] = FILES | {".facet-weights.json": json.dumps(record).encode()}
    assert_whole(fill(hub, folder), folder)
    assert_whole(fill(hub, folder), folder)
    assert victim.read_text() == "keep"

    (folder / ".facet-weights.json").write_text(json.dumps(record))
    assert_refused(fill(hub, folder), ".facet-weights.json is not readable", "'../victim'")
    assert victim.read_text() == "keep"


def test_the_folder_is_refused_when_its_lock_is_a_link(hub: FakeHub, tmp_path: Path) -> None:
    folder, victim = tmp_path / "folder", tmp_path / "victim"
    victim.write_text("keep")
    folder.mkdir()
    (folder / ".facet-download.lock").symlink_to(victim)
    assert_refused(fill(hub, folder), "cannot be filled")
    assert victim.read_text() == "keep"
