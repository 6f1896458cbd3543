"""API keys: known by their digests only, from a file or a mounted Secret that may change."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from facet.core.errors import UnauthenticatedError
from facet.core.hot_reload import HotReload, read_bounded
from facet.gateway.authenticator import TENANT, Metadata, Principal, bearer_of

MAX_FILE_BYTES = 4 << 20
# Longer ones are refused unhashed; generated keys have 49.
MAX_KEY_CHARACTERS = 1024
_GRAMMAR = "tenant:sha256hex[:weight=2][:expires=2030-12-31T00:00:00Z][:admin]"
_LINE = re.compile(
    rf"(?P<tenant>{TENANT}):(?P<digest>[0-9a-fA-F]{{64}})"
    r"(:weight=(?P<weight>\d{1,4}(\.\d{1,3})?))?"
    r"(:expires=(?P<expires>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ))?"
    r"(?P<admin>:admin)?"
)


@dataclass(frozen=True)
class ApiKey:
    """One key, known by its SHA-256 only; `expires_at` is in seconds since the epoch."""

    principal: Principal
    digest: bytes
    expires_at: float | None = None


class KeyRing:
    """Finds keys by what clients send, in a time that tells nothing about the digests."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        # Digests are looked up under a keyed hash of this process: whoever measures the look-up
        # cannot choose, nor know, what is compared.
        self._secret = secrets.token_bytes(32)
        self._keys = {self._blinded(key.digest): key for key in keys}
        self.has_admin = any(key.principal.is_admin for key in self._keys.values())

    def find(self, key: str) -> ApiKey | None:
        """The key with this text, also when it has expired."""
        digest = hashlib.sha256(key.encode()).digest()
        found = self._keys.get(self._blinded(digest))
        if found is None or not hmac.compare_digest(found.digest, digest):
            return None
        return found

    def _blinded(self, digest: bytes) -> bytes:
        return hmac.digest(self._secret, digest, "sha256")


class KeyFileAuthenticator:
    """Accepts `authorization: Bearer <key>` for keys whose digests a file lists.

    Several keys may be one tenant's, which is how they are replaced: the new one is added, clients
    move, the old one is removed or expires. A call that is under way keeps what it was granted.
    """

    is_ready = True

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        ring = KeyRing(keys)
        self._ring = HotReload("API keys", bytes, lambda _: ring)

    @classmethod
    def from_file(cls, path: Path) -> KeyFileAuthenticator:
        """Read lines `tenant:sha256hex[:weight=2][:expires=...Z][:admin]` and follow changes.

        Blank lines and those that begin with # are skipped. A directory is read as the files in
        it, one after the other. Errors: OSError; ValueError for a malformed line (named by its
        number), no key, or more than `MAX_FILE_BYTES`.
        """
        keys = cls([])
        keys._ring = HotReload(
            f"API keys of {path}",
            lambda: read_bounded(path, MAX_FILE_BYTES),
            lambda content: KeyRing(parse_keys(content, str(path))),
        )
        return keys

    @property
    def has_admin(self) -> bool:
        """Whether one of the keys is an operator's."""
        return self._ring.value.has_admin

    async def run(self) -> None:
        """Follow changes of the file for ever: they are in force within a second."""
        await self._ring.run()

    async def authenticate(self, metadata: Metadata) -> Principal:
        """See `Authenticator.authenticate`."""
        key = bearer_of(metadata)
        found = None if len(key) > MAX_KEY_CHARACTERS else self._ring.value.find(key)
        if found is None:
            raise UnauthenticatedError(
                "the API key is not known; ask whoever runs this deployment for one"
            )
        if found.expires_at is not None and time.time() >= found.expires_at:
            raise UnauthenticatedError(
                f"the API key of tenant {found.principal.tenant} has expired; "
                "ask whoever runs this deployment for a new one"
            )
        return found.principal


def parse_keys(content: bytes, source: str) -> list[ApiKey]:
    """The keys of a file. Errors: ValueError, which names `source` and the line, never its text."""
    keys = []
    for number, line in enumerate(content.decode(errors="replace").split("\n"), start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            keys.append(_parse_line(text, f"{source} line {number}"))
    if not keys:
        raise ValueError(f"{source} holds no key; want lines {_GRAMMAR}")
    return keys


def _parse_line(text: str, where: str) -> ApiKey:
    match = _LINE.fullmatch(text)
    if match is None:
        raise ValueError(f"{where}: want {_GRAMMAR}")
    weight = float(match["weight"] or 1)
    if weight <= 0:
        raise ValueError(f"{where}: the weight must be above 0")
    expires_at = None
    if match["expires"]:
        try:
            expires = datetime.fromisoformat(match["expires"])
        except ValueError:
            raise ValueError(f"{where}: there is no such time as expires tells") from None
        expires_at = expires.timestamp()
    principal = Principal(match["tenant"], weight, is_admin=bool(match["admin"]))
    return ApiKey(principal, bytes.fromhex(match["digest"]), expires_at)
