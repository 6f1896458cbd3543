"""What a weights setting or a profile's source may name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from facet.weights.errors import LocationError

DEFAULT_REVISION = "main"
_PACKAGE = "package:"
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[\w][\w.-]*)(?:@([\w][\w./-]*))?")
_BUCKET = re.compile(r"gs://([a-z0-9][a-z0-9._-]+)/*(.*?)/*")


@dataclass(frozen=True)
class Packaged:
    """A folder of this distribution, relative to it."""

    folder: str


@dataclass(frozen=True)
class Directory:
    """A directory of this machine: a disk, a PVC, a mounted bucket."""

    path: Path


@dataclass(frozen=True)
class HubModel:
    """A model of the Hugging Face Hub at a branch, tag or commit."""

    model: str
    revision: str = DEFAULT_REVISION

    def __str__(self) -> str:
        return self.model if self.revision == DEFAULT_REVISION else f"{self.model}@{self.revision}"


@dataclass(frozen=True)
class BucketPrefix:
    """Objects of Google Cloud Storage below a prefix."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"gs://{self.bucket}/{self.prefix}"


Location = Packaged | Directory | HubModel | BucketPrefix


def parse(text: str) -> Location:
    """The location that `text` names; a Hub id is shadowed by a directory only when it is a path.

    A path is what begins with `/`, `.` or `~`. Errors: LocationError.
    """
    if text.startswith(_PACKAGE):
        return Packaged(text.removeprefix(_PACKAGE))
    if text.startswith(("/", ".", "~")):
        return Directory(Path(text).expanduser())
    # A revision and a prefix become folders of the cache.
    climbs = any(part in (".", "..") for part in re.split("[/@]", text))
    if not climbs and (found := _BUCKET.fullmatch(text)) is not None:
        return BucketPrefix(found[1], found[2])
    if not climbs and (found := _HUB_ID.fullmatch(text)) is not None:
        return HubModel(found[1], found[2] or DEFAULT_REVISION)
    raise LocationError(
        f"{text!r} is no place of weights; name a directory (/models/gemma, ./gemma), "
        "gs://bucket/prefix, or a Hugging Face model (org/name, org/name@revision)"
    )
