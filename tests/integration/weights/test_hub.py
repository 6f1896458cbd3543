"""Downloads over real HTTP from a local Hub, in processes of their own as HF_ENDPOINT is theirs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facet.weights.errors import AccessError
from facet.weights.hub import remote_file
from facet.weights.location import HubModel
from tests.support.fake_hub import COMMIT, FakeHub, fake_hub

pytestmark = pytest.mark.integration

MODEL = "google/tiny"
WEIGHTS = bytes(range(256)) * 4 * 4096
FILES = {
    "config.json": b'{"model_type": "gemma4_unified"}',
    "tokenizer.json": b"{}" * 5000,
    "chat_template.jinja": b"",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"never fetched",
    "original/params.json": b"{}",
}
WANTED = {"config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"}
BOUND_SECONDS = 40

PROGRAM = """
import sys
from pathlib import Path
from facet.weights.cached import default_cache
from facet.weights.errors import WeightsError
from facet.weights.progress import shown
from facet.weights.sources import Fetching, resolve
from facet.weights.transfer import Patience
cache, text, offline = sys.argv[1:]
fetching = Fetching(
    shown(), default_cache(Path(cache)), offline == "offline", patience=Patience(4, 0.05)
)
try:
    print(resolve(text, fetching))
except WeightsError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub({MODEL: FILES}) as serving:
        yield serving


def start(
    hub: FakeHub, cache: Path, text: str = MODEL, mode: str = "", **env: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(cache), text, mode],
        env=os.environ | hub.environment | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pull(hub: FakeHub, cache: Path, text: str = MODEL, mode: str = "", **env: str) -> Path:
    process = start(hub, cache, text, mode, **env)
    out, err = process.communicate(timeout=BOUND_SECONDS)
    assert process.returncode == 0, err
    return Path(out.strip())


def refusal(hub: FakeHub, cache: Path, text: str = MODEL, mode: str = "", **env: str) -> str:
    process = start(hub, cache, text, mode, **env)
    _, err = process.communicate(timeout=BOUND_SECONDS)
    assert process.returncode == 1, err
    return err.strip().splitlines()[-1]


def wait_for_partial(cache: Path, size: int) -> None:
    """Return when a file in the making has so many bytes on disk."""
    ends = time.monotonic() + BOUND_SECONDS
    while not any(path.stat().st_size >= size for path in cache.rglob("*.partial")):
        assert time.monotonic() < ends, "nothing arrives"
        time.sleep(0.02)


def assert_whole(directory: Path) -> None:
    found = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert found == {name: FILES[name] for name in WANTED}


def test_only_what_the_engine_reads_lies_in_the_cache_when_a_model_is_pulled(
    hub: FakeHub, tmp_path: Path
) -> None:
    directory = pull(hub, tmp_path)

    assert_whole(directory)
    assert directory == tmp_path / "hub" / "models--google--tiny" / "snapshots" / COMMIT


def test_huggingface_hub_finds_the_snapshot_when_it_was_pulled(
    hub: FakeHub, tmp_path: Path
) -> None:
    directory = pull(hub, tmp_path)
    code = (
        "import sys, huggingface_hub as h;"
        "print(h.snapshot_download(sys.argv[1], cache_dir=sys.argv[2], local_files_only=True))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, MODEL, str(tmp_path / "hub")],
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
        check=True,
    )

    assert Path(done.stdout.strip()) == directory


@pytest.mark.parametrize("mode", ["", "offline"])
def test_nothing_is_asked_of_the_network_when_the_files_are_here(
    hub: FakeHub, tmp_path: Path, mode: str
) -> None:
    directory = pull(hub, tmp_path)
    hub.requests.clear()

    again = pull(hub, tmp_path, mode=mode)

    assert again == directory
    assert hub.requests == []


def test_offline_says_what_to_do_when_nothing_is_here(hub: FakeHub, tmp_path: Path) -> None:
    said = refusal(hub, tmp_path, mode="offline")

    assert said.startswith("NotCachedError: google/tiny: ")
    assert "facet weights pull" in said
    assert hub.requests == []


def test_the_download_goes_on_when_the_connection_is_cut(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut_after = 7000

    assert_whole(pull(hub, tmp_path))

    wanted = sum(len(FILES[name]) for name in WANTED)
    assert hub.sent_bytes == wanted


def test_no_byte_is_wrong_when_the_server_ignores_ranges(hub: FakeHub, tmp_path: Path) -> None:
    hub.ignores_range, hub.cut_after = True, 7000

    assert_whole(pull(hub, tmp_path))


def test_a_killed_download_goes_on_when_it_is_started_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.pause_after = 3 << 20
    process = start(hub, tmp_path)
    wait_for_partial(tmp_path, hub.pause_after)
    process.kill()
    process.communicate(timeout=BOUND_SECONDS)
    snapshots = tmp_path / "hub" / "models--google--tiny" / "snapshots"
    assert not snapshots.exists()
    hub.pause_after = None
    hub.go_on.set()

    assert_whole(pull(hub, tmp_path))

    wanted = sum(len(FILES[name]) for name in WANTED)
    # What had arrived is not sent again; the old answer may have written a piece to nobody.
    assert hub.sent_bytes <= wanted + (1 << 17)


def test_both_have_it_once_when_two_processes_pull_at_once(hub: FakeHub, tmp_path: Path) -> None:
    processes = [start(hub, tmp_path) for _ in range(2)]

    for process in processes:
        out, err = process.communicate(timeout=BOUND_SECONDS)
        assert process.returncode == 0, err
        assert_whole(Path(out.strip()))

    assert hub.sent_bytes == sum(len(FILES[name]) for name in WANTED)


def test_a_file_is_fetched_again_when_it_arrived_damaged(hub: FakeHub, tmp_path: Path) -> None:
    hub.damage = 1

    assert_whole(pull(hub, tmp_path))


def test_nothing_is_kept_when_a_file_stays_damaged(hub: FakeHub, tmp_path: Path) -> None:
    hub.damage = 100

    said = refusal(hub, tmp_path)

    assert said.startswith("DigestError: google/tiny: tokenizer.json arrived damaged twice: sha256")
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_page_token_and_directory_are_named_when_the_hub_refuses(
    hub: FakeHub, tmp_path: Path, status: int
) -> None:
    hub.failures = [(status, {})]

    said = refusal(hub, tmp_path)

    assert said.startswith(f"AccessError: google/tiny: {hub.address}")
    for words in (f"HTTP {status}", f"{hub.address}/google/tiny", "HF_TOKEN", "local directory"):
        assert words in said


@pytest.mark.parametrize("status", [429, 500, 503])
def test_it_is_tried_again_when_the_failure_may_pass(
    hub: FakeHub, tmp_path: Path, status: int
) -> None:
    hub.failures = [(status, {"Retry-After": "1"}), (status, {})]

    assert_whole(pull(hub, tmp_path))


def test_page_token_and_directory_are_named_when_the_limit_stays(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.failures = [(429, {})] * 4

    said = refusal(hub, tmp_path)

    assert said.startswith("UnreachableError: google/tiny: ")
    for words in ("HTTP 429", f"{hub.address}/google/tiny", "HF_TOKEN", "local directory"):
        assert words in said


def test_the_token_decides_when_a_model_is_gated(hub: FakeHub, tmp_path: Path) -> None:
    hub.token = "hf_right"

    assert refusal(hub, tmp_path, HF_TOKEN="hf_wrong").startswith("AccessError: google/tiny")
    assert_whole(pull(hub, tmp_path, HF_TOKEN="hf_right"))


def test_nothing_is_written_when_the_hub_names_a_commit_that_is_a_path(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.commit = "../../../elsewhere"
    cache = tmp_path / "cache"
    assert "tells the commit '../../../elsewhere', which is none" in refusal(hub, cache)
    assert [path.name for path in cache.rglob("*") if path.is_file()] == [".facet-download.lock"]
    assert list(tmp_path.iterdir()) == [cache]


@pytest.mark.parametrize(
    ("lfs", "blob_id"),
    [
        (None, "../../../.bashrc"),
        (None, "ABCDEF" * 6 + "ABCD"),
        (SimpleNamespace(sha256="../" * 20, size=1), None),
        (SimpleNamespace(sha256="a" * 40, size=1), None),
    ],
)
def test_a_file_is_refused_when_its_digest_is_none(lfs: Any, blob_id: str | None) -> None:
    told: Any = SimpleNamespace(rfilename="config.json", size=1, lfs=lfs, blob_id=blob_id)
    with pytest.raises(AccessError, match=r"tells the digest .* which is none"):
        remote_file(HubModel(MODEL), told)
