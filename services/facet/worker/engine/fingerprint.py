"""What an exact continuation depends on, as one digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

_WHOLE_BYTES = 64 * 1024 * 1024
_SAMPLE_BYTES = 1024 * 1024


def fingerprint(checkpoint: Path, versions: Sequence[str]) -> str:
    """Digest of a checkpoint folder and of the versions given, hexadecimal.

    Template, tokenizer, quantization and generation defaults are files of the checkpoint. Files
    above 64 MiB count with their size, first and last MiB: reading 24 GB at every start would cost
    more than the accident that it excludes. The drafter is left out: it decides the speed, not the
    ids.
    """
    digest = hashlib.sha256()
    for version in versions:
        digest.update(f"{len(version)}:{version}".encode())
    for path in sorted(p for p in checkpoint.rglob("*") if p.is_file()):
        name = path.relative_to(checkpoint).as_posix()
        digest.update(f"{len(name)}:{name}:{path.stat().st_size}:".encode())
        digest.update(_content(path))
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        if path.stat().st_size <= _WHOLE_BYTES:
            return hashlib.file_digest(file, "sha256").digest()
        first = file.read(_SAMPLE_BYTES)
        file.seek(-_SAMPLE_BYTES, 2)
        return hashlib.sha256(first + file.read(_SAMPLE_BYTES)).digest()
