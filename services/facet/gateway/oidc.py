"""Tokens of an identity provider (OpenID Connect, JWT): checked here, with its public keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from facet.core.errors import UnauthenticatedError
from facet.gateway.authenticator import TENANT, Metadata, Principal, bearer_of
from facet.gateway.key_set import ALGORITHMS, KeySet

MAX_TOKEN_BYTES = 8 << 10
_REQUIRED = ["exp", "iat", "iss", "aud"]
_ACCEPTED = frozenset(name for names in ALGORITHMS.values() for name in names)
_TENANT = re.compile(TENANT)


@dataclass(frozen=True)
class OidcRules:
    """What a token must say. `admin_role` "" makes nobody an operator; `leeway_seconds` is granted
    on every time in a token, for clocks that differ.
    """

    issuer: str
    audience: str
    tenant_claim: str
    roles_claim: str
    admin_role: str
    leeway_seconds: float


class OidcAuthenticator:
    """Accepts `authorization: Bearer <JWT>` as far as the rules go."""

    def __init__(self, rules: OidcRules, keys: KeySet) -> None:
        self._rules = rules
        self._keys = keys

    @property
    def has_admin(self) -> bool:
        """Whether a role makes operators."""
        return bool(self._rules.admin_role)

    @property
    def is_ready(self) -> bool:
        """See `Authenticator.is_ready`."""
        return self._keys.is_known

    async def run(self) -> None:
        """Follow the provider's keys for ever."""
        await self._keys.run()

    async def authenticate(self, metadata: Metadata) -> Principal:
        """See `Authenticator.authenticate`; errors say what to do and never quote the token."""
        token = bearer_of(metadata)
        if len(token) > MAX_TOKEN_BYTES:
            raise _refused(f"is longer than {MAX_TOKEN_BYTES} bytes; ask for one with fewer claims")
        algorithm, key_id = _header(token)
        key = await self._keys.find(key_id)
        if algorithm not in key.algorithms:
            raise _refused(f"is signed with {algorithm}, which its key is not for")
        claims = self._verified(token, key.key, algorithm)
        return Principal(self._tenant(claims), is_admin=self._is_admin(claims))

    def _verified(self, token: str, key: Any, algorithm: str) -> Mapping[str, Any]:
        rules = self._rules
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=rules.leeway_seconds,
                options={"require": _REQUIRED},
            )
        except jwt.ExpiredSignatureError as error:
            raise _refused("has expired; fetch a new one") from error
        except jwt.ImmatureSignatureError as error:
            raise _refused("is not valid yet; compare the clocks of client and server") from error
        except jwt.InvalidAudienceError as error:
            raise _refused(
                f"is not for the audience {rules.audience}; ask for one that is"
            ) from error
        except jwt.InvalidIssuerError as error:
            raise _refused(f"is not from the issuer {rules.issuer}") from error
        except jwt.MissingRequiredClaimError as error:
            raise _refused(f"has no claim {error.claim}") from error
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise _refused("has a wrong signature or form; fetch a new one") from error

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        name = self._rules.tenant_claim
        tenant = _claim(claims, name)
        if not isinstance(tenant, str) or _TENANT.fullmatch(tenant) is None:
            raise _refused(
                f"names no tenant: its claim {name} must be text that matches {TENANT}; "
                "have the identity provider set it"
            )
        return tenant

    def _is_admin(self, claims: Mapping[str, Any]) -> bool:
        roles = _claim(claims, self._rules.roles_claim)
        if isinstance(roles, str):
            roles = roles.split()
        return bool(self._rules.admin_role) and (
            isinstance(roles, list) and self._rules.admin_role in roles
        )


def _header(token: str) -> tuple[str, str]:
    """Algorithm and key id, which are not to be believed yet."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise _refused("is no JWT; fetch a new one") from error
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in _ACCEPTED:
        raise _refused(f"is signed with an algorithm other than {', '.join(sorted(_ACCEPTED))}")
    if not isinstance(key_id, str):
        raise _refused("does not name its key (kid)")
    return str(algorithm), key_id


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, else by its path, such as `realm_access.roles`."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _refused(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"the token {why}")
