"""Which release the rollout check takes, and a short run in which the head replaces it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.report import ZEROS
from tests.rollout.previous import BASELINE, NoPreviousReleaseError, previous_release
from tools.checks import ROOT

pytestmark = pytest.mark.integration


@pytest.fixture
def previous() -> str:
    """Name of the previous release; a clone without it cannot run the check."""
    try:
        return previous_release(ROOT).name
    except NoPreviousReleaseError as error:
        pytest.skip(str(error))


def test_every_stream_goes_on_when_the_head_replaces_the_release_before(previous: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.rollout.run", "--seed", "5"),
            *("--parts", "rollout", "--gateways", "2", "--workers", "2"),
            *("--streams", "30", "--step-ms", "150"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["previous"] == previous
    assert {name: report[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0)
    assert report["finished"] == report["streams"] >= 30
    assert report["resumed_midstream"] > 0
    assert report["odd_exits"] == {}
    (phase,) = report["phases"]
    assert (phase["name"], phase["replaced"]) == ("rollout", 4)
    assert phase["least_live"] >= 30
    # The gateways that ended sent their streams elsewhere.
    assert phase["transient_by_reason"]["GATEWAY_DRAINING"] > 0


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(root), *identity, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with two commits."""
    git(tmp_path, "init", "--quiet")
    for message in ("first", "second"):
        git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", message)
    return tmp_path


def test_release_before_is_taken_when_the_head_itself_is_tagged(clone: Path) -> None:
    git(clone, "tag", "v0.1.0", "HEAD~1")
    git(clone, "tag", "v0.2.0")

    previous = previous_release(clone)

    assert (previous.name, previous.commit) == ("v0.1.0", git(clone, "rev-parse", "HEAD~1"))


def test_commit_is_taken_when_the_tag_is_annotated(clone: Path) -> None:
    git(clone, "tag", "--annotate", "--message", "a release", "v0.1.0", "HEAD~1")

    assert previous_release(clone).commit == git(clone, "rev-parse", "HEAD~1")


def test_message_tells_what_to_fetch_when_the_clone_lacks_the_baseline(clone: Path) -> None:
    with pytest.raises(NoPreviousReleaseError, match=f"{BASELINE}.*git fetch --unshallow --tags"):
        previous_release(clone)


def test_message_tells_it_when_there_is_no_clone(tmp_path: Path) -> None:
    with pytest.raises(NoPreviousReleaseError, match="not a git repository"):
        previous_release(tmp_path)
