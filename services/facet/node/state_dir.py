"""The node's folder: lock, logs, data, and the file that tells what runs."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facet.node.errors import StateDirInUseError


class StateDir:
    """Paths below one folder, which only its owner can read: the Redis password lies there."""

    def __init__(self, root: Path) -> None:
        """Create what is missing. Errors: OSError."""
        self.root = root.absolute()
        self.logs = self.root / "logs"
        self.redis = self.root / "redis"
        self.run = self.root / "run"
        for folder in (self.root, self.logs, self.redis, self.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def redis_config(self) -> Path:
        """Configuration of the Redis server."""
        return self.run / "redis.conf"

    @property
    def gateway_address(self) -> Path:
        """Where the gateway writes the address that it bound."""
        return self.run / "gateway.address"

    def worker_ready(self, name: str) -> Path:
        """What a worker writes when it takes work."""
        return self.run / f"{name}.ready"

    def log(self, name: str) -> Path:
        """Output of one process."""
        return self.logs / f"{name}.log"

    def rotate_logs(self) -> None:
        """Keep the logs of the last run aside, so that the new ones tell of this run alone."""
        for log in self.logs.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder. Errors: StateDirInUseError, naming the process that holds it."""
        with (self.root / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                raise StateDirInUseError(
                    f"a node runs in {self.root} already (pid {holder})"
                ) from error
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Replace `state.json`; a reader sees the old one or the new one, whole."""
        write_private(self.root / "state.json", json.dumps(state, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner can read."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)
