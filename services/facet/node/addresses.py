"""Ports of the node's processes."""

from __future__ import annotations

import socket
from pathlib import Path

_PREFERRED = "127.0.0.1:8470"
_PREFERRED_ADMIN = "127.0.0.1:8471"
_ANY = "127.0.0.1:0"


def free_port() -> int:
    """A loopback port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class GatewayAddress:
    """Where the gateway listens, for clients and for operators: chosen once, kept across restarts.

    Without a wish these are the ports that clients try by themselves, or any free one where that
    is taken. Operators are served on loopback only, on any free port where there is a wish.
    """

    def __init__(self, wish: str | None, address_file: Path) -> None:
        self._file = address_file
        self._listen = wish or _if_free(_PREFERRED)
        self._admin_listen = _ANY if wish else _if_free(_PREFERRED_ADMIN)

    @property
    def listen(self) -> str:
        """What the next gateway is told."""
        return self._listen

    @property
    def admin_listen(self) -> str:
        """The same for its operators' listener."""
        return self._admin_listen

    def learn(self) -> str:
        """Read what the running gateway bound and keep it. Errors: OSError."""
        self._listen, *admin = self._file.read_text().split()
        self._admin_listen = admin[0] if admin else self._admin_listen
        return self._listen


def _if_free(address: str) -> str:
    return address if _is_free(address) else _ANY


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    # Without SO_REUSEPORT, with which a second gateway would share the first one's port.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
        return True
