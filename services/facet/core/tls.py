"""Certificates in files: read, checked, and given to gRPC servers and to clients of other servers.

TLS 1.2 is the oldest version that either side speaks: gRPC's default, and Python's.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from facet.core.watched_files import WatchedFiles


@dataclass(frozen=True)
class CertificateFiles:
    """PEM files: a certificate with its chain, its private key, and the CAs that peers may have.

    Certificate and key are both there or both absent.
    """

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those that are there."""
        return tuple(path for path in (self.certificate, self.key, self.ca) if path is not None)


def server_credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    """Credentials of one listener, whose new connections see changed files without a restart.

    With `files.ca` clients must present a certificate of one of its CAs. Open connections go on.
    Errors: OSError and ValueError when the files cannot be used.
    """
    watched = WatchedFiles(files.paths, lambda: _server_configuration(files))
    # What the listener has; gRPC asks before each handshake, one at a time.
    latest = watched.value()

    # gRPC takes None for no change; its types do not.
    def changed() -> Any:
        nonlocal latest
        value = watched.value()
        if value is latest:
            return None
        latest = value
        return value

    return grpc.dynamic_ssl_server_credentials(
        latest, changed, require_client_authentication=files.ca is not None
    )


def client_context(files: CertificateFiles, *, checks_hostname: bool = True) -> ssl.SSLContext:
    """How to connect to a server whose certificate is of `files.ca`, else of one of the system's.

    Errors: OSError and ValueError when the files cannot be used.
    """
    if files.ca is not None:
        _check_bundle(files.ca)
    context = ssl.create_default_context(cafile=files.ca)
    context.check_hostname = checks_hostname
    if files.certificate is not None and files.key is not None:
        _load_pair(context, files.certificate, files.key)
    return context


def _server_configuration(files: CertificateFiles) -> grpc.ServerCertificateConfiguration:
    if files.certificate is None or files.key is None:
        raise ValueError("a server needs a certificate and its key")
    contents = [path.read_bytes() for path in files.paths]
    _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files.certificate, files.key)
    if files.ca is not None:
        _check_bundle(files.ca)
    if contents != [path.read_bytes() for path in files.paths]:
        raise ValueError(f"{files.certificate} and its key change while they are read")
    certificate, key, *ca = contents
    return grpc.ssl_server_certificate_configuration([(key, certificate)], *ca)


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


def _check_bundle(path: Path) -> None:
    _check_readable(path)
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError as error:
        raise ValueError(f"{path} holds no CA certificates: {error.reason or 'no PEM'}") from error


def _check_readable(*paths: Path) -> None:
    # OpenSSL's own error leaves the name of the file out.
    for path in paths:
        with path.open("rb"):
            pass
