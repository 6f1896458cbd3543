"""Who calls: the only source of a tenant's name.

No other code reads a tenant from client metadata.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from facet.core.errors import UnauthenticatedError

Metadata = Iterable[tuple[str, str | bytes]]

ANONYMOUS = "anonymous"
_LINE = re.compile(
    r"(?P<tenant>[A-Za-z0-9][A-Za-z0-9_.-]{0,63}):(?P<digest>[0-9a-fA-F]{64})"
    r"(:weight=(?P<weight>\d{1,4}(\.\d{1,3})?))?(?P<admin>:admin)?"
)
_SCHEME = "bearer "


@dataclass(frozen=True)
class Principal:
    """Who calls: a tenant with its share of the queue relative to others, perhaps an operator."""

    tenant: str
    weight: float = 1.0
    is_admin: bool = False


class Authenticator(Protocol):
    """Turns a call's credentials into a principal."""

    async def authenticate(self, metadata: Metadata) -> Principal:
        """Who calls. Errors: UnauthenticatedError."""


class AnonymousAuthenticator:
    """Everybody is the tenant `anonymous`, and an operator; for loopback listeners only."""

    async def authenticate(self, metadata: Metadata) -> Principal:
        """See `Authenticator.authenticate`; credentials are ignored."""
        return Principal(ANONYMOUS, is_admin=True)


@dataclass(frozen=True)
class ApiKey:
    """One key, known by its SHA-256 only."""

    principal: Principal
    digest: bytes


class KeyFileAuthenticator:
    """Accepts `authorization: Bearer <key>` for keys whose digests a file lists."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)

    @classmethod
    def from_file(cls, path: Path) -> KeyFileAuthenticator:
        """Read lines `tenant:sha256hex[:weight=2][:admin]`, without blank ones and # comments.

        Errors: OSError; ValueError for a malformed line (named by its number) or a file without
        a key.
        """
        keys = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise ValueError(f"{path} line {number}: want tenant:sha256hex[:weight=2][:admin]")
            weight = float(match["weight"] or 1)
            if weight <= 0:
                raise ValueError(f"{path} line {number}: the weight must be above 0")
            principal = Principal(match["tenant"], weight, is_admin=bool(match["admin"]))
            keys.append(ApiKey(principal, bytes.fromhex(match["digest"])))
        if not keys:
            raise ValueError(f"{path} holds no key")
        return cls(keys)

    @property
    def has_admin(self) -> bool:
        """Whether one of the keys is an operator's."""
        return any(key.principal.is_admin for key in self._keys)

    async def authenticate(self, metadata: Metadata) -> Principal:
        """See `Authenticator.authenticate`."""
        digest = hashlib.sha256(_bearer_key(metadata).encode()).digest()
        principal = None
        # Every key is compared, so that the time taken tells nothing about which one came close.
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                principal = key.principal
        if principal is None:
            raise UnauthenticatedError("the API key is not known")
        return principal


def _bearer_key(metadata: Metadata) -> str:
    for name, value in metadata:
        if name == "authorization" and isinstance(value, str):
            if value[: len(_SCHEME)].lower() != _SCHEME:
                break
            return value[len(_SCHEME) :].strip()
    raise UnauthenticatedError("send your API key as metadata `authorization: Bearer <key>`")


def choose_authenticator(listen: str, api_keys_file: Path | None) -> Authenticator:
    """The authenticator for a listener.

    Errors: ValueError when an address that others can reach would be served without one; those of
    `KeyFileAuthenticator.from_file`.
    """
    if api_keys_file is not None:
        return KeyFileAuthenticator.from_file(api_keys_file)
    if not is_loopback(listen):
        raise ValueError(
            f"{listen} can be reached from other machines and no API keys are configured: "
            "set FACET_GATEWAY_API_KEYS_FILE, or listen on 127.0.0.1"
        )
    return AnonymousAuthenticator()


def is_loopback(listen: str) -> bool:
    """Whether `host:port` names this machine only; a name other than localhost does not count."""
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
