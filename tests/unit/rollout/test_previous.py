"""Which release is held against the head."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.rollout.previous import (
    BASELINE,
    NoPreviousReleaseError,
    last_release,
    previous_release,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("tags", "last"),
    [
        ([], None),
        (["nightly", "v1.2", "v1.2.3-rc.1", "release-1.0.0"], None),
        (["v0.9.0", "v0.10.0", "v0.2.11"], "v0.10.0"),
        (["v2.0.0", "v10.0.0", "v10.0.0-rc.1", "v9.9.9"], "v10.0.0"),
    ],
)
def test_highest_version_is_the_last_release_when_there_are_tags(
    tags: list[str], last: str | None
) -> None:
    assert last_release(tags) == last


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
