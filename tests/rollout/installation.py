"""Installs a release into a folder of its own, from its sources alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_BUILD_SECONDS = 120.0
_PACKAGED = ("pyproject.toml", "README.md", "services")
"""What of the repository goes into the wheel."""


class InstallationError(Exception):
    """A release could not be installed."""


def install_commit(root: Path, commit: str, folder: Path) -> Path:
    """Install what was committed; returns the folder for PYTHONPATH. Errors: InstallationError."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    archive = folder / "sources.tar"
    _run("git", "-C", str(root), "archive", "-o", str(archive), commit, "--", *_PACKAGED)
    shutil.unpack_archive(archive, sources)
    return _install(sources, folder / "installed")


def install_tree(root: Path, folder: Path) -> Path:
    """The same with the working tree as it is, changes that are not committed included."""
    sources = folder / "sources"
    listed = _run(
        *("git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        *("--", *_PACKAGED),
    )
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            target = sources / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target)
    return _install(sources, folder / "installed")


def _install(sources: Path, target: Path) -> Path:
    """With the dependencies and the build backend of this environment: nothing is downloaded."""
    _run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)),
        str(sources),
    )
    statement = "import facet; print(facet.__file__)"
    found = _run(sys.executable, "-c", statement, PYTHONPATH=str(target)).strip()
    if not Path(found).is_relative_to(target):
        raise InstallationError(f"facet would be run from {found}, not from {target}")
    return target


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise InstallationError(f"{' '.join(command[:4])} ...: {done.stderr.strip()}")
    return done.stdout
