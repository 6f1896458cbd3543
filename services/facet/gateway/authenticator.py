"""Who calls: the only source of a tenant's name.

No other code reads a tenant from client metadata.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from facet.core.errors import UnauthenticatedError

Metadata = Iterable[tuple[str, str | bytes]]

ANONYMOUS = "anonymous"
TENANT = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
"""Names of tenants, as a regular expression: they are part of ids, keys in Redis and reports."""

_SCHEME = "bearer "


@dataclass(frozen=True)
class Principal:
    """Who calls: a tenant with its share of the queue relative to others, perhaps an operator."""

    tenant: str
    weight: float = 1.0
    is_admin: bool = False


class Gatekeeper(Protocol):
    """Turns a call's credentials into a principal."""

    async def authenticate(self, metadata: Metadata) -> Principal:
        """Who calls. Errors: UnauthenticatedError."""


class Authenticator(Gatekeeper, Protocol):
    """A gatekeeper that knows credentials, which may change."""

    @property
    def has_admin(self) -> bool:
        """Whether operators can be told from other callers, and there may be some."""

    @property
    def is_ready(self) -> bool:
        """Whether all that credentials are checked with was read once; it stays true then."""

    async def run(self) -> None:
        """Follow changes of what credentials are known, for ever."""


class AnonymousAuthenticator:
    """Everybody is the tenant `anonymous`, and an operator; for loopback listeners only."""

    has_admin = False
    is_ready = True

    async def authenticate(self, metadata: Metadata) -> Principal:
        """See `Authenticator.authenticate`; credentials are ignored."""
        return Principal(ANONYMOUS, is_admin=True)

    async def run(self) -> None:
        """See `Authenticator.run`; nothing changes."""
        await asyncio.Event().wait()


def bearer_of(metadata: Metadata) -> str:
    """What stands behind `Bearer` in a call's metadata. Errors: UnauthenticatedError."""
    for name, value in metadata:
        if name == "authorization" and isinstance(value, str):
            if value[: len(_SCHEME)].lower() != _SCHEME:
                break
            return value[len(_SCHEME) :].strip()
    raise UnauthenticatedError(
        "send your API key, or a token of your identity provider, as metadata "
        "`authorization: Bearer <key or token>`"
    )


def is_loopback(listen: str) -> bool:
    """Whether `host:port` names this machine only; a name other than localhost does not count."""
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
