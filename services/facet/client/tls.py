"""How a client checks its gateways, and shows who it is."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass

import grpc


@dataclass(frozen=True)
class Tls:
    """TLS to gateways. The files are PEM and read once, when a client is made.

    `ca_file`: CAs, one or several, of which a gateway's certificate must be; without it those that
    come with gRPC. `certificate_file` and `key_file`: what the client shows, both or none.
    `server_name`: the name that the gateway's certificate must hold, when it is not the address's.
    """

    ca_file: str | os.PathLike[str] | None = None
    certificate_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None
    server_name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """For a channel. Errors: OSError and ValueError when the files cannot be used."""
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("a client's certificate and its key belong together")
        contents = [_read(path) for path in (self.ca_file, self.key_file, self.certificate_file)]
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate_file is not None:
                # Without a password OpenSSL would ask the terminal for one.
                context.load_cert_chain(self.certificate_file, self.key_file, password="")
        except ssl.SSLError as error:
            # gRPC itself would only fail to connect.
            raise ValueError(
                f"the files for TLS are not usable: {error.reason or error}"
            ) from error
        return grpc.ssl_channel_credentials(*contents)

    def options(self) -> tuple[tuple[str, str], ...]:
        """Options of a channel."""
        return (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()


def _read(path: str | os.PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()
