"""Where media bytes lie while a request refers to them.

Keys come from `media_key`, so one tenant can never name another's bytes.
"""

from __future__ import annotations

import hashlib
from typing import Protocol


class MediaStore(Protocol):
    """A store of immutable blobs."""

    async def put(self, key: str, data: bytes, *, life_seconds: int) -> None:
        """Store the bytes, or extend the life of what is there to at least `life_seconds`."""

    async def get(self, key: str) -> bytes | None:
        """The bytes, or None when they are not there."""


def media_key(tenant: str, sha256: bytes) -> str:
    """Name of a tenant's content: SHA-256 over tenant and content digest, hexadecimal."""
    return hashlib.sha256(len(tenant).to_bytes(4) + tenant.encode() + sha256).hexdigest()


class MemoryMediaStore:
    """For tests: keeps everything until the process ends."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    async def put(self, key: str, data: bytes, *, life_seconds: int) -> None:
        """See `MediaStore.put`; the life is not enforced."""
        self._blobs[key] = data

    async def get(self, key: str) -> bytes | None:
        """See `MediaStore.get`."""
        return self._blobs.get(key)
