"""Who one is to the store, asked anew for each connection."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError

METADATA_HOST = "169.254.169.254"
"""Google's metadata server, by the address that needs no name service."""

_TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 - no token
_ASK_SECONDS = 0.6
"""Within the bound of a connection, to a server on the same machine."""

RENEWED_SECONDS_BEFORE_EXPIRY = 240.0
"""The metadata server gives a new token only when the old one has less than 5 minutes left."""

_LEAST_SECONDS = 5.0
"""What a token must have left to be shown to the store."""

_log = structlog.get_logger(__name__)


class UnknownCredentialsError(RedisConnectionError):
    """Nobody can tell the credentials at present; a connection that was not made, to its caller."""


class FileCredentials(CredentialProvider):
    """A password that lies in a file, read for each connection.

    Of a user, or without one of the store's default user.
    """

    def __init__(self, path: Path, user: str = "") -> None:
        self._path = path
        self._user = user

    def get_credentials(self) -> tuple[str, str] | tuple[str]:
        """See `CredentialProvider`. Errors: UnknownCredentialsError."""
        try:
            password = self._path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            raise UnknownCredentialsError(f"the store's password: {error}") from error
        if not password:
            raise UnknownCredentialsError(f"the store's password: {self._path} is empty")
        return (self._user, password) if self._user else (password,)

    async def get_credentials_async(self) -> tuple[str, str] | tuple[str]:
        """See `get_credentials`."""
        # The base class warns on every connection that it was not overridden.
        return self.get_credentials()


@dataclass(frozen=True)
class _Token:
    text: str
    expires_at: float


class MetadataCredentials(CredentialProvider):
    """The access token of this machine's Google service account, for one event loop.

    From `RENEWED_SECONDS_BEFORE_EXPIRY` on another one is asked for, while the old one is used for
    as long as it may be. Connections that are opened together ask together.
    """

    def __init__(
        self,
        *,
        user: str = "default",
        host: str = METADATA_HOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`host` may hold a port."""
        self._user = user
        self._host = host
        self._clock = clock
        self._token: _Token | None = None
        self._asking: asyncio.Task[_Token] | None = None

    async def get_credentials_async(self) -> tuple[str, str]:
        """See `CredentialProvider`. Errors: UnknownCredentialsError within a second."""
        token = self._token
        left_seconds = token.expires_at - self._clock() if token else 0.0
        if token is not None and left_seconds > RENEWED_SECONDS_BEFORE_EXPIRY:
            return self._user, token.text
        asking = self._renew()
        if token is None or left_seconds <= _LEAST_SECONDS:
            # A caller that gives up leaves the answer to the others.
            token = await asyncio.shield(asking)
        return self._user, token.text

    def forget(self) -> None:
        """The store does not take the token: the next connection asks for another."""
        self._token = None

    def _renew(self) -> asyncio.Task[_Token]:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(_log_failure)
        return self._asking

    async def _ask(self) -> _Token:
        asked_at = self._clock()
        try:
            text, life_seconds = await asyncio.to_thread(_fetch_token, self._host)
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise UnknownCredentialsError(
                f"the metadata server at {self._host} gives no access token: {error!r}"
            ) from error
        self._token = _Token(text, asked_at + life_seconds)
        return self._token


def _log_failure(asked: asyncio.Task[_Token]) -> None:
    # Often nobody waits for the answer.
    if not asked.cancelled() and (error := asked.exception()) is not None:
        _log.warning("no access token", why=str(error))


def _fetch_token(host: str) -> tuple[str, float]:
    # Not by way of a proxy, whatever the environment names.
    connection = http.client.HTTPConnection(host, timeout=_ASK_SECONDS)
    try:
        connection.request("GET", _TOKEN_PATH, headers={"Metadata-Flavor": "Google"})
        with connection.getresponse() as response:
            body = response.read(1 << 16)
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise ValueError(f"status {response.status}")
    answer = json.loads(body)
    return str(answer["access_token"]), float(answer["expires_in"])
