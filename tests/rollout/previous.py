"""Which release came before the head."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

BASELINE = "dfcc4985f7f5df9dab8dd56b2f2dcdeb44cdbdc8"
"""Stands for the previous release until one is tagged: the first commit whose keys in Redis have
the present layout. What came before it kept its requests under other keys and was never released.
"""

_TAG = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_SHORT = 7


class NoPreviousReleaseError(Exception):
    """The previous release cannot be had from this clone; the message says what to do."""


@dataclass(frozen=True)
class Previous:
    """A commit, and the name that it is known by: its tag, or its short id."""

    name: str
    commit: str


def last_release(tags: Iterable[str]) -> str | None:
    """The highest version among tags of the form vX.Y.Z; others are no releases."""
    found = [match for tag in tags if (match := _TAG.fullmatch(tag))]
    versions = {tuple(map(int, match.groups())): match.string for match in found}
    return versions[max(versions)] if versions else None


def previous_release(root: Path) -> Previous:
    """The last release before the commit that is checked out in `root`.

    Tags of that commit itself do not count, so that a tagged commit is held against the release
    before it. Errors: NoPreviousReleaseError.
    """
    tags = _git(root, "tag", "--list", "v*", "--merged", "HEAD", "--no-contains", "HEAD")
    tag = last_release(tags.split())
    commit = BASELINE if tag is None else _git(root, "rev-parse", f"{tag}^{{commit}}").strip()
    try:
        _git(root, "cat-file", "-e", f"{commit}^{{commit}}")
    except NoPreviousReleaseError as error:
        raise NoPreviousReleaseError(
            f"commit {commit} of the previous release is not in this clone; "
            "fetch it with `git fetch --unshallow --tags`"
        ) from error
    return Previous(tag or commit[:_SHORT], commit)


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError as error:
        raise NoPreviousReleaseError("git is needed to find the previous release") from error
    if done.returncode != 0:
        raise NoPreviousReleaseError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout
