"""What a folder of plain files was filled with: model, revision, sizes and digests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from facet.weights.digest import Digest
from facet.weights.errors import LocationError
from facet.weights.location import BucketPrefix, HubModel
from facet.weights.names import is_plain_name

NAME = ".facet-weights.json"


@dataclass(frozen=True)
class Record:
    """`location` as it was asked for, at `version`; `files` are (name, size in bytes, digest)."""

    location: str
    version: str
    files: tuple[tuple[str, int, Digest], ...]

    def check(self, location: HubModel | BucketPrefix, directory: Path) -> None:
        """Errors: LocationError, where `directory` was filled with something else."""
        asked = str(location)
        model, _, revision = asked.partition("@")
        is_commit = model == self.location.partition("@")[0] and revision == self.version
        if asked != self.location and not is_commit:
            raise self.refusal(directory, f"{asked} is asked for")

    def refusal(self, directory: Path, why: str) -> LocationError:
        """Says what lies in `directory`, and what to do."""
        return LocationError(
            f"{directory} holds {self.location} at {self.version}, and {why}; remove that folder, "
            "or name another"
        )

    def wrong(self, directory: Path) -> Iterator[str]:
        """Names of the files that are not there as they were promised; reads all of them."""
        for name, size, digest in self.files:
            path = directory / name
            is_there = path.is_file() and path.stat().st_size == size
            if not is_there or digest.of(path) != digest.value:
                yield name

    def write(self, directory: Path) -> None:
        """Keep it in `directory`, whole or not at all."""
        values = {
            "location": self.location,
            "version": self.version,
            "files": [
                {"name": name, digest.name: digest.value, "size": size}
                for name, size, digest in self.files
            ],
        }
        staged = directory / f"{NAME}.staged"
        staged.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        os.replace(staged, directory / NAME)


def read(directory: Path) -> Record | None:
    """What `directory` says of itself; None where it was never filled. Errors: LocationError."""
    path = directory / NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Record(
            str(values["location"]),
            str(values["version"]),
            tuple(_file(entry) for entry in values["files"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LocationError(f"{path} is not readable ({error}); remove {directory}") from error


def _file(entry: dict[str, str | int]) -> tuple[str, int, Digest]:
    file, size = str(entry["name"]), int(entry["size"])
    # Files that are not as recorded are removed: none outside of the folder may be named.
    if not is_plain_name(file):
        raise ValueError(f"it names {file[:80]!r}, which is no file of this folder")
    for name in ("sha256", "git-blob", "md5"):
        if name in entry:
            return file, size, Digest(name, str(entry[name]))
    return file, size, Digest("size", str(size))
