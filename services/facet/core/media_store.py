"""Where media bytes lie while a request refers to them.

Keys come from `media_key`, so one tenant can never name another's bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class MediaHolder:
    """A generation that refers to media, whose tenant may have `max_bytes` of them, 0 for any."""

    generation_id: str
    tenant: str
    max_bytes: int = 0


class MediaStore(Protocol):
    """A store of immutable blobs."""

    async def put(
        self, key: str, data: bytes, *, life_seconds: int, holder: MediaHolder | None = None
    ) -> None:
        """Store the bytes, or extend the life of what is there to at least `life_seconds`.

        The `holder` has them for so long, or until `release`. Errors: QuotaExceededError.
        """

    async def get(self, key: str) -> bytes | None:
        """The bytes, or None when they are not there."""

    async def release(self, keys: Iterable[str], holder: MediaHolder) -> None:
        """Delete those that no other generation holds."""


def media_key(tenant: str, sha256: bytes) -> str:
    """Name of a tenant's content: SHA-256 over tenant and content digest, hexadecimal."""
    return hashlib.sha256(len(tenant).to_bytes(4) + tenant.encode() + sha256).hexdigest()


class MemoryMediaStore:
    """For tests: keeps everything until it is released."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._holders: dict[str, set[str]] = {}

    async def put(
        self, key: str, data: bytes, *, life_seconds: int, holder: MediaHolder | None = None
    ) -> None:
        """See `MediaStore.put`; life and bound are not enforced."""
        self._blobs[key] = data
        if holder is not None:
            self._holders.setdefault(key, set()).add(holder.generation_id)

    async def get(self, key: str) -> bytes | None:
        """See `MediaStore.get`."""
        return self._blobs.get(key)

    async def release(self, keys: Iterable[str], holder: MediaHolder) -> None:
        """See `MediaStore.release`."""
        for key in keys:
            holders = self._holders.get(key, set())
            holders.discard(holder.generation_id)
            if not holders:
                self._blobs.pop(key, None)
