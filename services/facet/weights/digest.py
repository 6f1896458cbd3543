"""Digests by which a downloaded file is known to be the one that was promised."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_READ_BYTES = 4 << 20


@dataclass(frozen=True)
class Digest:
    """`value` is lower-case hex. `git-blob` is SHA-1 over git's header and the content.

    `size` is for objects that have no digest of their content: the size alone is compared.
    """

    name: Literal["sha256", "git-blob", "md5", "size"]
    value: str

    def of(self, path: Path) -> str:
        """The same digest of a file. Errors: OSError."""
        size = path.stat().st_size
        if self.name == "size":
            return str(size)
        hasher = hashlib.new(
            "sha1" if self.name == "git-blob" else self.name, usedforsecurity=False
        )
        if self.name == "git-blob":
            # Git hashes its object header first: gitformat-pack(5), "blob SIZE NUL".
            hasher.update(b"blob %d\0" % size)
        with path.open("rb", buffering=0) as stream:
            while chunk := stream.read(_READ_BYTES):
                hasher.update(chunk)
        return hasher.hexdigest()
