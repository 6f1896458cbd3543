"""The keys of an identity provider (JWKS, RFC 7517): fetched beside the calls, and kept."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import structlog
from jwt.types import JWKDict

from facet.core.errors import UnauthenticatedError
from facet.core.hot_reload import CHECK_SECONDS, HotReload, read_bounded
from facet.gateway.http_fetch import FETCH_SECONDS, fetcher

MAX_BYTES = 256 << 10
MAX_KEYS = 100
REFRESH_SECONDS = 300.0
# Tokens that name unknown keys cost the provider one request in so long.
UNKNOWN_KEY_SECONDS = 10.0
# How long a call with such a token waits for the keys that are being fetched.
WAIT_SECONDS = 3.0
MIN_RSA_BITS = 2048

# What a key of a type may have signed with. No symmetric algorithm: whoever can check it can forge.
ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class VerificationKey:
    """A public key and the algorithms that it may be used with."""

    key: Any
    algorithms: tuple[str, ...]


Keys = Mapping[str, VerificationKey]


class KeySet:
    """Keys by their ids, as a URL or a file tells them.

    A source that fails leaves the known keys in force, for however long it does.
    """

    def __init__(self, source: str) -> None:
        """Errors: ValueError or OSError for a source that is not acceptable or, a file, bad.

        A URL need not answer yet: tokens are refused, and `is_known` is false, until it has.
        """
        self._is_url = "://" in source
        name = f"signing keys of {source}"
        path = Path(source)
        self._keys: HotReload[bytes, Keys] = (
            HotReload(name, fetcher(source, max_bytes=MAX_BYTES), parse_keys, initial={})
            if self._is_url
            else HotReload(name, lambda: read_bounded(path, MAX_BYTES), parse_keys)
        )
        self._fetching: asyncio.Task[None] | None = None
        self._fetched_at = float("-inf")

    @property
    def is_known(self) -> bool:
        """Whether the source was read once."""
        return bool(self._keys.value)

    async def find(self, key_id: str) -> VerificationKey:
        """The key with this id; one that is not known has the source asked, at a bounded rate.

        Errors: UnauthenticatedError.
        """
        found = self._keys.value.get(key_id)
        if found is None and self._is_url:
            await self._refreshed()
            found = self._keys.value.get(key_id)
        if found is not None:
            return found
        if self._keys.is_failing or not self.is_known:
            raise UnauthenticatedError(
                "the keys of the identity provider cannot be read at present, and none that is "
                "known signed this token; send the call again later",
                retry_after_seconds=UNKNOWN_KEY_SECONDS,
            )
        raise UnauthenticatedError(
            "the token is signed with a key that the identity provider does not list; "
            "fetch a new token"
        )

    async def run(self) -> None:
        """Follow the source for ever: a file every second, a URL every five minutes."""
        while True:
            await self._check()
            is_well = self.is_known and not self._keys.is_failing
            pause = REFRESH_SECONDS if is_well else FETCH_SECONDS
            await asyncio.sleep(pause if self._is_url else CHECK_SECONDS)

    async def _refreshed(self) -> None:
        if self._fetching is None and time.monotonic() - self._fetched_at < UNKNOWN_KEY_SECONDS:
            return
        # Shielded by `wait`: a caller that leaves does not end the fetch of the others.
        await asyncio.wait([self._fetch()], timeout=WAIT_SECONDS)

    async def _check(self) -> None:
        if self._is_url:
            await asyncio.wait([self._fetch()])
        else:
            await self._keys.check()

    def _fetch(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._keys.check())
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, _: asyncio.Task[None]) -> None:
        self._fetching = None
        self._fetched_at = time.monotonic()


def parse_keys(content: bytes) -> Keys:
    """The usable keys of a JWKS: public, for signatures, with an id, of an accepted type.

    Errors: ValueError when it is no JWKS or holds none.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("not a JSON document") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS: it has no list `keys`")  # noqa: TRY004 - of what is read
    if len(entries) > MAX_KEYS:
        raise ValueError(f"a JWKS of more than {MAX_KEYS} keys")
    keys: dict[str, VerificationKey] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
            continue
        key = _parse_key(entry)
        if key is not None:
            keys[entry["kid"]] = key
    if not keys:
        raise ValueError(
            "a JWKS without a usable key: wanted are keys with `kid` of type "
            f"{', '.join(ALGORITHMS)} that may verify signatures"
        )
    return keys


def _parse_key(entry: JWKDict) -> VerificationKey | None:
    kty, alg = entry.get("kty"), entry.get("alg")
    algorithms = ALGORITHMS.get(kty, ()) if isinstance(kty, str) else ()
    if alg is not None:
        algorithms = tuple(each for each in algorithms if each == alg)
    if not algorithms or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm=None if kty == "EC" else algorithms[0])
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
        _log.warning("a signing key is not usable", key_id=entry["kid"], error=type(error).__name__)
        return None
    if kty == "RSA" and key.key.key_size < MIN_RSA_BITS:
        _log.warning("a signing key is too short", key_id=entry["kid"], bits=key.key.key_size)
        return None
    if kty == "EC":
        # A curve goes with one algorithm.
        algorithms = tuple(each for each in algorithms if each == key.algorithm_name)
    return VerificationKey(key.key, algorithms) if algorithms else None
