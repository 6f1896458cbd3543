"""Listeners of gRPC servers: their certificates, and the address that they are bound to."""

from __future__ import annotations

from pathlib import Path

import grpc

from facet.core.settings import ServiceSettings
from facet.core.tls import CertificateFiles, server_credentials


class ListenerSettings(ServiceSettings):
    """TLS of a service's listeners."""

    tls_certificate_file: Path | None = None
    """Certificate (PEM, its chain after it) of what listens; changed files are taken up with the
    next connection. Unset: no TLS."""

    tls_key_file: Path | None = None
    """Private key of the certificate, PEM, not encrypted."""

    tls_client_ca_file: Path | None = None
    """CAs, PEM; clients must present a certificate of one of them. Unset: clients need none."""

    def certificates(self) -> CertificateFiles | None:
        """The files for TLS, None without. Errors: ValueError when some are missing."""
        names = [self.variable(f"tls_{name}_file") for name in ("certificate", "key", "client_ca")]
        try:
            files = CertificateFiles(
                self.tls_certificate_file, self.tls_key_file, self.tls_client_ca_file
            )
        except ValueError as error:
            raise ValueError(f"{names[0]}, {names[1]}: {error}") from error
        if files.ca is not None and files.certificate is None:
            raise ValueError(f"{names[2]} needs {names[0]} and {names[1]}")
        return files if files.paths else None


def bind(server: grpc.aio.Server, listen: str, certificates: CertificateFiles | None) -> str:
    """Have a server listen on `host:port`, over TLS with certificates; returns the bound address.

    Errors: OSError when the address cannot be bound; those of `server_credentials`.
    """
    credentials = server_credentials(certificates) if certificates else None
    try:
        port = (
            server.add_secure_port(listen, credentials)
            if credentials
            else server.add_insecure_port(listen)
        )
    except RuntimeError as error:
        # gRPC tells no more, and takes fewer kinds of keys than OpenSSL.
        keys = ", or gRPC does not take the kind of key" if credentials else ""
        raise OSError(f"cannot listen on {listen}: in use, or no address of ours{keys}") from error
    return f"{listen.rpartition(':')[0]}:{port}"
