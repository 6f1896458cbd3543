"""buildah with a store of its own: local base, builds, mounted images."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.checks import ROOT
from tools.images import pip_settings
from tools.images.catalogue import Image

BASE = "localhost/facet-base:bookworm"
_BASE_PACKAGES = "ca-certificates,python3,python3-venv"
_BASE_SECONDS = 900
_BUILD_SECONDS = 1800


class ImageError(Exception):
    """The check cannot go on; the message says what failed."""


@dataclass(frozen=True)
class ImageConfig:
    """What an image says about running it."""

    env: dict[str, str]
    entrypoint: tuple[str, ...]
    health: tuple[str, ...]
    user: str
    volumes: tuple[str, ...]
    workdir: str


def cache_folder() -> Path:
    """Where base and layers stay between runs."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "facet" / "images"


class Store:
    """Images of the check; the machine's own stay as they are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make_base(self) -> None:
        """A minimal Debian with Python in place of the pinned base, once. Errors: ImageError."""
        if self._run("images", "--quiet", BASE, is_tried=True):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            rootfs = Path(scratch) / "rootfs"
            options = ["--variant=minbase", f"--include={_BASE_PACKAGES}"]
            _call(["debootstrap", *options, "bookworm", str(rootfs)], _BASE_SECONDS)
            # As in the pinned base: `python`, and nothing of the package manager's downloads.
            (rootfs / "usr/local/bin/python").symlink_to("/usr/bin/python3")
            for folder in ("var/cache/apt", "var/lib/apt/lists"):
                shutil.rmtree(rootfs / folder)
            container = self._run("from", "scratch")
            self._run("add", "--quiet", container, str(rootfs), "/")
            self._run("commit", "--quiet", "--rm", container, BASE)

    def build(self, image: Image) -> None:
        """Build it on the local base, unchanged layers taken from the last run."""
        with tempfile.TemporaryDirectory() as scratch:
            settings = pip_settings.read_settings()
            config = Path(scratch) / "pip.conf"
            config.write_text(pip_settings.render(settings))
            volumes = [f"--volume={config}:/etc/pip.conf:ro"]
            volumes += [f"--volume={path}:{path}:ro" for path in pip_settings.mounts(settings)]
            self._run(
                *("bud", "--isolation", "chroot", "--layers", "--pull-never"),
                *("--format", "docker", f"--build-arg=BASE={BASE}", *volumes),
                *("-f", str(image.dockerfile), "-t", f"localhost/{image.repository}", "."),
            )

    def config(self, image: Image) -> ImageConfig:
        """What the image says about running it."""
        found = self._run("inspect", "--type", "image", f"localhost/{image.repository}")
        config: dict[str, Any] = json.loads(found)["Docker"]["config"]
        return ImageConfig(
            env=dict(entry.split("=", 1) for entry in config["Env"]),
            entrypoint=tuple(config["Entrypoint"]),
            health=tuple(config["Healthcheck"]["Test"][1:]),
            user=config["User"],
            volumes=tuple(sorted(config["Volumes"])),
            workdir=config["WorkingDir"],
        )

    @contextmanager
    def mounted(self, image: Image) -> Iterator[Path]:
        """The image's root file system while the context is open."""
        container = self._run("from", "--pull-never", f"localhost/{image.repository}")
        try:
            yield Path(self._run("mount", container))
        finally:
            self._run("rm", container)

    def _run(self, *arguments: str, is_tried: bool = False) -> str:
        store = ["--root", f"{self._folder}/store", "--runroot", f"{self._folder}/run"]
        command = ["buildah", *store, "--storage-driver", "overlay", *arguments]
        return _call(command, _BUILD_SECONDS, is_tried=is_tried)


def content_bytes(root: Path) -> int:
    """Size of all files below, each once however many names it has."""
    files = {}
    for folder, _, names in os.walk(root):
        for name in names:
            status = os.lstat(os.path.join(folder, name))
            files[status.st_dev, status.st_ino] = status.st_size
    return sum(files.values())


def _call(command: list[str], seconds: float, *, is_tried: bool = False) -> str:
    """The output of a command, in the repository. Errors: ImageError, with its last lines."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"{command[0]} took longer than {seconds:.0f} s") from error
    if done.returncode != 0 and not is_tried:
        sys.stderr.write(
            "\n".join([*done.stdout.splitlines()[-20:], *done.stderr.splitlines()[-20:], ""])
        )
        raise ImageError(f"{command[0]} failed, see above: {' '.join(command)}")
    return done.stdout.strip()
