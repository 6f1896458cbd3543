"""Which credentials a gateway accepts, as it is configured."""

from __future__ import annotations

import asyncio
from pathlib import Path

from facet.core.errors import UnauthenticatedError
from facet.gateway.api_keys import KeyFileAuthenticator
from facet.gateway.authenticator import (
    AnonymousAuthenticator,
    Authenticator,
    Metadata,
    Principal,
    bearer_of,
    is_loopback,
)
from facet.gateway.key_set import KeySet
from facet.gateway.oidc import OidcAuthenticator, OidcRules
from facet.gateway.settings import GatewaySettings

_JWT_DOTS = 2


class BearerAuthenticator:
    """Tokens and, where there is a file of them, API keys: a bearer with two dots is a token."""

    def __init__(self, tokens: OidcAuthenticator, keys: KeyFileAuthenticator | None) -> None:
        self._tokens = tokens
        self._keys = keys

    @property
    def has_admin(self) -> bool:
        """See `Authenticator.has_admin`."""
        return self._tokens.has_admin or (self._keys is not None and self._keys.has_admin)

    @property
    def is_ready(self) -> bool:
        """See `Authenticator.is_ready`."""
        return self._tokens.is_ready

    async def authenticate(self, metadata: Metadata) -> Principal:
        """See `Authenticator.authenticate`."""
        pairs = tuple(metadata)
        if bearer_of(pairs).count(".") == _JWT_DOTS:
            return await self._tokens.authenticate(pairs)
        if self._keys is None:
            raise UnauthenticatedError(
                "only tokens (JWT) of the identity provider are accepted here: fetch one"
            )
        return await self._keys.authenticate(pairs)

    async def run(self) -> None:
        """See `Authenticator.run`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tokens.run())
            if self._keys is not None:
                group.create_task(self._keys.run())


def choose_authenticator(
    listen: str, api_keys_file: Path | None, tokens: OidcAuthenticator | None = None
) -> Authenticator:
    """The authenticator for a listener.

    Errors: ValueError when an address that others can reach would be served without one; those of
    `KeyFileAuthenticator.from_file`.
    """
    keys = None if api_keys_file is None else KeyFileAuthenticator.from_file(api_keys_file)
    if tokens is not None:
        return BearerAuthenticator(tokens, keys)
    if keys is not None:
        return keys
    if not is_loopback(listen):
        raise ValueError(
            f"{listen} can be reached from other machines and no API keys are configured: "
            "set FACET_GATEWAY_API_KEYS_FILE or FACET_GATEWAY_OIDC_ISSUER, or listen on 127.0.0.1"
        )
    return AnonymousAuthenticator()


def token_authenticator(settings: GatewaySettings) -> OidcAuthenticator | None:
    """What checks tokens, None where no issuer is configured.

    Errors: ValueError for settings that do not go together; those of `KeySet`.
    """
    wanted = {
        "FACET_GATEWAY_OIDC_ISSUER": settings.oidc_issuer,
        "FACET_GATEWAY_OIDC_AUDIENCE": settings.oidc_audience,
        "FACET_GATEWAY_OIDC_JWKS": settings.oidc_jwks,
    }
    missing = [name for name, value in wanted.items() if not value]
    if len(missing) == len(wanted):
        return None
    if missing:
        raise ValueError(f"tokens need {' and '.join(missing)} too")
    rules = OidcRules(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        tenant_claim=settings.oidc_tenant_claim,
        roles_claim=settings.oidc_roles_claim,
        admin_role=settings.oidc_admin_role,
        leeway_seconds=settings.oidc_leeway_seconds,
    )
    try:
        return OidcAuthenticator(rules, KeySet(settings.oidc_jwks))
    except ValueError as error:
        raise ValueError(f"FACET_GATEWAY_OIDC_JWKS: {error}") from error
