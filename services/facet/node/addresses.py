"""Ports of the node's processes."""

from __future__ import annotations

import socket
from pathlib import Path

_PREFERRED = "127.0.0.1:8470"


def free_port() -> int:
    """A loopback port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class GatewayAddress:
    """Where the gateway listens: chosen once, kept across its restarts.

    Without a wish it is the port that clients try by themselves, or any free one where that is
    taken.
    """

    def __init__(self, wish: str | None, address_file: Path) -> None:
        self._file = address_file
        self._listen = wish or (_PREFERRED if _is_free(_PREFERRED) else "127.0.0.1:0")

    @property
    def listen(self) -> str:
        """What the next gateway is told."""
        return self._listen

    def learn(self) -> str:
        """Read what the running gateway bound and keep it. Errors: OSError."""
        self._listen = self._file.read_text().strip()
        return self._listen


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
