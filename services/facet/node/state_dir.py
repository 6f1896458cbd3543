"""The node's folder: lock, logs, data, and the file that tells what runs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facet.node.errors import StateDirInUseError

MAX_LOG_BYTES = 10 * 1024 * 1024
"""A longer log is moved aside: one of these and one older at most for each process."""


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

    def bound_logs(self) -> None:
        """Move logs that have grown too long aside while their processes write on.

        The file stays, for it is open for appending there; what is written between copy and cut is
        lost. No error: where nothing can be copied, as on a full disk, the log is cut all the same.
        """
        for log in self.logs.glob("*.log"):
            with contextlib.suppress(OSError):
                if log.stat().st_size <= MAX_LOG_BYTES:
                    continue
                with contextlib.suppress(OSError):
                    shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)

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
