"""One store as all its connections see it: where it is, and how to get in."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Self

import structlog
from redis.asyncio.connection import Connection, SSLConnection
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, NoPermissionError

from facet.core.tls import CertificateFiles, Contexts, client_contexts
from facet.queue.credentials import MetadataCredentials, UnknownCredentialsError
from facet.queue.topology import Address, parse_store_url

_REFUSALS = (AuthenticationError, NoPermissionError)
_URL_FILES = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
_URL_TLS = (*_URL_FILES, "ssl_check_hostname")

_log = structlog.get_logger(__name__)


class TlsConnection(Connection):
    """Connects with what the files of certificates hold at that time."""

    def __init__(self, *, contexts: Contexts, **options: Any) -> None:
        super().__init__(**options)
        self._contexts = contexts

    async def disconnect(  # type: ignore[override]
        self,
        nowait: bool = False,
        **others: Any,
    ) -> None:
        """See `Connection.disconnect`; at once it does not wait for the server's farewell."""
        if nowait and self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(nowait, **others)

    def _connection_arguments(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "ssl": self._contexts.fresh()}


class Store:
    """Seeds of a store, and new connections to any of its servers.

    Credentials are asked for, and changed certificates taken up, whenever a connection is opened;
    open ones go on.
    """

    def __init__(
        self,
        url: str,
        *,
        certificates: CertificateFiles = CertificateFiles(),  # noqa: B008 - it is frozen
        credentials: CredentialProvider | None = None,
    ) -> None:
        """For the store at `url`, see `parse_store_url`; its user and password hold unless
        `credentials` replace them, and the files that it names unless `certificates` do.

        Errors: ValueError, and OSError when a file cannot be read; without any secret.
        """
        parsed = parse_store_url(url)
        self.seeds = parsed.seeds
        self._options: dict[str, Any] = dict(parsed.options)
        self._kind: type[Any] = self._options.pop("connection_class", Connection)
        tls = {name: self._options.pop(name) for name in list(self._options) if name[:4] == "ssl_"}
        if self._kind is SSLConnection:
            self._kind = TlsConnection
            self._options["contexts"] = _contexts(tls, certificates)
        elif tls or certificates.paths:
            raise ValueError("certificates are given, but the store's URL is not rediss://")
        if credentials is not None:
            self._options.pop("username", None)
            self._options.pop("password", None)
            self._options["credential_provider"] = credentials
        self._credentials = credentials
        self._reasons: dict[Address, str] = {}

    @classmethod
    def of(cls, store: Self | str) -> Self:
        """The store itself, or the one at a URL."""
        return cls(store) if isinstance(store, str) else store

    def connection(self, address: Address, **options: Any) -> Connection:
        """A connection that is not open yet."""
        place: dict[str, Any] = {"host": address.host, "port": address.port}
        if address.port == 0:
            place = {"path": address.host}
        connection: Connection = self._kind(**self._options, **place, **options)
        return connection

    def entered(self, address: Address) -> None:
        """A connection was opened."""
        self._reasons.pop(address, None)

    def refused(self, address: Address, error: BaseException) -> None:
        """A connection could not be opened: logs what waiting does not cure, once for each reason.

        Nothing else follows: what is wrong may be put right outside, and the next call connects
        anew.
        """
        if isinstance(self._credentials, MetadataCredentials) and _is_due_to(error, _REFUSALS):
            self._credentials.forget()
        check = _what_to_check(error)
        if not check or self._reasons.get(address) == check:
            return
        self._reasons[address] = check
        _log.error(
            "the store lets nobody in",
            address=f"{address.host}:{address.port}",
            why=str(error),
            check=check,
        )


def _contexts(named: dict[str, Any], certificates: CertificateFiles) -> Contexts:
    unknown = [name for name in named if name not in _URL_TLS]
    if unknown:
        raise ValueError(f"the store's URL has an unknown option {unknown[0]!r}")
    paths = [Path(named[name]) if name in named else None for name in _URL_FILES]
    files = CertificateFiles(
        certificates.certificate or paths[0],
        certificates.key or paths[1],
        certificates.ca or paths[2],
    )
    checks_hostname = named.get("ssl_check_hostname", True)
    return client_contexts(files, checks_hostname=checks_hostname)


def _what_to_check(error: BaseException) -> str:
    """What someone may look into; empty for an ordinary outage."""
    if _is_due_to(error, (UnknownCredentialsError,)):
        return "where the credentials come from: redis_credentials"
    if _is_due_to(error, _REFUSALS):
        return "user and password: redis_url, redis_credentials, redis_password_file"
    if _is_due_to(error, (ssl.SSLCertVerificationError,)):
        return "the server's certificate, and whether its CA is in redis_ca_file"
    if _is_due_to(error, (ssl.SSLError,)):
        return "whether the server speaks TLS there, and wants redis_certificate_file"
    return ""


def _is_due_to(error: BaseException | None, kinds: tuple[type[BaseException], ...]) -> bool:
    while error is not None and not isinstance(error, kinds):
        error = error.__cause__ or error.__context__
    return error is not None
