"""Certificates in files: read, checked, and given to gRPC servers and to clients of other servers.

TLS 1.2 is the oldest version that either side speaks: gRPC's default, and Python's.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from facet.core.hot_reload import HotReload, read_bounded

_MAX_FILE_BYTES = 4 << 20

Contexts: TypeAlias = "HotReload[tuple[bytes, ...], ssl.SSLContext]"


@dataclass(frozen=True)
class CertificateFiles:
    """PEM files: a certificate with its chain, its private key, and the CAs that peers may have.

    Errors: ValueError for a certificate without its key, or a key without its certificate.
    """

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    def __post_init__(self) -> None:
        """See the class."""
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate and its key belong together: name both files")

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those that are there."""
        return tuple(path for path in (self.certificate, self.key, self.ca) if path is not None)

    def read(self) -> tuple[bytes, ...]:
        """What they hold. Errors: OSError; ValueError for one of more than 4 MiB."""
        return tuple(read_bounded(path, _MAX_FILE_BYTES) for path in self.paths)


def server_credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    """Credentials of one listener, whose new connections see changed files without a restart.

    With `files.ca` clients must present a certificate of one of its CAs. Open connections go on.
    Errors: OSError and ValueError when the files cannot be used.
    """
    followed = HotReload(
        _title(files), files.read, lambda contents: _server_configuration(files, contents)
    )
    # What the listener has; gRPC asks before each handshake, one at a time.
    latest = followed.value

    # gRPC takes None for no change; its types do not.
    def changed() -> Any:
        nonlocal latest
        value = followed.fresh()
        if value is latest:
            return None
        latest = value
        return value

    return grpc.dynamic_ssl_server_credentials(
        latest, changed, require_client_authentication=files.ca is not None
    )


def client_contexts(files: CertificateFiles, *, checks_hostname: bool = True) -> Contexts:
    """How to connect to a server whose certificate is of `files.ca`, else of one of the system's.

    `fresh` is what a new connection takes. Errors: OSError and ValueError when the files cannot be
    used.
    """
    return HotReload(
        _title(files),
        files.read,
        lambda contents: _client_context(files, contents, checks_hostname=checks_hostname),
    )


def check_bundle(path: Path) -> None:
    """Check that a file holds CAs. Errors: OSError; ValueError, which says what is wrong."""
    _check_readable(path)
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError as error:
        raise ValueError(f"{path} holds no CA certificates: {error.reason or 'no PEM'}") from error


def _client_context(
    files: CertificateFiles, contents: tuple[bytes, ...], *, checks_hostname: bool
) -> ssl.SSLContext:
    if files.ca is not None:
        check_bundle(files.ca)
    context = ssl.create_default_context(cafile=files.ca)
    context.check_hostname = checks_hostname
    if files.certificate is not None and files.key is not None:
        _load_pair(context, files.certificate, files.key)
    _check_unchanged(files, contents)
    return context


def _server_configuration(
    files: CertificateFiles, contents: tuple[bytes, ...]
) -> grpc.ServerCertificateConfiguration:
    if files.certificate is None or files.key is None:
        raise ValueError("a server needs a certificate and its key")
    _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files.certificate, files.key)
    if files.ca is not None:
        check_bundle(files.ca)
    _check_unchanged(files, contents)
    certificate, key, *ca = contents
    return grpc.ssl_server_certificate_configuration([(key, certificate)], *ca)


def _title(files: CertificateFiles) -> str:
    return f"certificates {', '.join(map(str, files.paths))}"


def _check_unchanged(files: CertificateFiles, contents: tuple[bytes, ...]) -> None:
    # OpenSSL reads the files itself.
    if contents != files.read():
        raise ValueError(f"{_title(files)} change while they are read")


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    _check_readable(certificate, key)
    try:
        # Without a password OpenSSL would ask the terminal for one.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise ValueError(
            f"{certificate} and {key} are no certificate and its unencrypted key: "
            f"{error.reason or 'no PEM'}"
        ) from error


def _check_readable(*paths: Path) -> None:
    # OpenSSL's own error leaves the name of the file out.
    for path in paths:
        with path.open("rb"):
            pass
