"""What lies on this machine already, and whether it is whole. Standard library alone."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from facet.weights.location import BucketPrefix, HubModel
from facet.weights.names import is_plain_name

INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CURRENT = "current"


def missing_from(directory: Path) -> str:
    """What a checkpoint directory lacks, as words; empty where it can be loaded.

    `config.json` is written last by a download, so its presence stands for the small files.
    """
    if not (directory / CONFIG).is_file():
        return CONFIG
    index = directory / INDEX
    if not index.is_file():
        return "" if any(directory.glob("*.safetensors")) else "*.safetensors"
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"a readable {INDEX}"
    if not all(isinstance(name, str) and is_plain_name(name) for name in shards):
        return f"a {INDEX} that names files of this folder alone"
    absent = sorted(name for name in shards if not (directory / name).is_file())
    return f"{absent[0]} ({len(absent)} files are missing)" if absent else ""


@dataclass(frozen=True)
class Cache:
    """Folders of downloads: `hub` in the layout of huggingface-hub, `buckets` in our own."""

    hub: Path
    buckets: Path

    def model_dir(self, model: HubModel) -> Path:
        """All revisions of a model: blobs, snapshots and refs."""
        return self.hub / f"models--{model.model.replace('/', '--')}"

    def bucket_dir(self, location: BucketPrefix) -> Path:
        """All generations of a prefix."""
        return self.buckets / location.bucket / (location.prefix.replace("/", "--") or "--")

    def current_of(self, location: BucketPrefix) -> Path:
        """The link to the generation that was downloaded last."""
        return self.bucket_dir(location) / _CURRENT

    def find(self, location: HubModel | BucketPrefix) -> Path | None:
        """The whole checkpoint, if it is here; the network is not asked for a newer."""
        directory = (
            self._snapshot(location)
            if isinstance(location, HubModel)
            else self.current_of(location).resolve()
        )
        return directory if directory is not None and not missing_from(directory) else None

    def _snapshot(self, model: HubModel) -> Path | None:
        folder = self.model_dir(model)
        commit = model.revision
        if not _COMMIT.fullmatch(commit):
            try:
                commit = (folder / "refs" / commit).read_text(encoding="ascii").strip()
            except (OSError, ValueError):
                return None
            if not _COMMIT.fullmatch(commit):
                return None
        return folder / "snapshots" / commit


def default_cache(directory: Path | None = None) -> Cache:
    """Downloads below `directory`; None takes those of HF_HUB_CACHE and HF_HOME."""
    if directory is not None:
        return Cache(directory / "hub", directory / "gs")
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or base / "huggingface").expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    return Cache(hub, home / "gs")
