"""Settings of whoever connects to the store; all services have them alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from redis.credentials import CredentialProvider

from facet.core.settings import ServiceSettings
from facet.core.tls import CertificateFiles
from facet.queue.credentials import (
    METADATA_HOST,
    FileCredentials,
    MetadataCredentials,
    UnknownCredentialsError,
)
from facet.queue.store import Store
from facet.queue.topology import parse_store_url


class StoreSettings(ServiceSettings):
    """The store's part of a service's settings."""

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """Where queues and media are, `rediss://` over TLS; secret because it may hold a password."""

    redis_ca_file: Path | None = None
    """CAs of the server's certificate, PEM, one or several; unset takes the system's."""

    redis_certificate_file: Path | None = None
    """Certificate shown to the server, PEM; unset shows none."""

    redis_key_file: Path | None = None
    """Private key of the certificate, PEM, not encrypted."""

    redis_credentials: Literal["url", "file", "gcp-iam"] = "url"
    """Where the password comes from whenever a connection is opened: the URL, the file
    `redis_password_file`, or Google's metadata server (an access token). The user is the URL's."""

    redis_password_file: Path | None = None
    """Holds the password, and nothing else but an end of line."""

    def store(self) -> Store:
        """The store; connects with the first call. All connections of a process share it.

        Errors: ValueError and OSError when the settings do not fit together or a file is bad.
        """
        try:
            return Store(
                self.redis_url.get_secret_value(),
                certificates=CertificateFiles(
                    self.redis_certificate_file, self.redis_key_file, self.redis_ca_file
                ),
                credentials=self._credentials(),
            )
        except (ValueError, UnknownCredentialsError) as error:
            raise ValueError(f"{self.variable('redis_...')}: {error}") from error

    def _credentials(self) -> CredentialProvider | None:
        url = parse_store_url(self.redis_url.get_secret_value()).options
        user = url.get("username", "")
        if (self.redis_credentials == "file") != (self.redis_password_file is not None):
            raise ValueError("redis_credentials=file and redis_password_file belong together")
        if self.redis_credentials != "url" and url.get("password"):
            raise ValueError(
                f"redis_url holds a password, and redis_credentials is {self.redis_credentials}"
            )
        if self.redis_password_file is not None:
            provider = FileCredentials(self.redis_password_file, user)
            provider.get_credentials()
            return provider
        if self.redis_credentials == "gcp-iam":
            # The name that Google's own clients know.
            host = os.environ.get("GCE_METADATA_HOST") or METADATA_HOST
            return MetadataCredentials(user=user or "default", host=host)
        return None
