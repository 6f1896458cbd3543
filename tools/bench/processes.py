"""The processes of a benchmark: its own Redis and gateway, and load beside them."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from facet.node.addresses import free_port
from facet.node.redis_server import find_server, render_config

_START_SECONDS = 20.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02
_READY = "READY grpc="
_PR_SET_PDEATHSIG = 1
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The benchmark could not run; the message says what did not come up."""


@dataclass(frozen=True)
class Started:
    """A running process; `address` is a URL or `host:port`."""

    pid: int
    address: str

    def cpu_seconds(self) -> float:
        """Processor time that it used so far. Errors: OSError once it has ended."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        # The name in parentheses may hold anything; user and system time are fields 14 and 15.
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / _TICKS_PER_SECOND

    def resident_kb(self) -> int:
        """Its resident memory. Errors: OSError once it has ended."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise BenchError(f"process {self.pid} has no memory any more")


@contextmanager
def memory_only_redis(folder: Path) -> Iterator[Started]:
    """A Redis that writes nothing to disk."""
    port = free_port()
    config = f'bind 127.0.0.1\nport {port}\ndir "{folder}"\nappendonly no\nsave ""\n'
    with _redis(folder, config, port, password="") as server:
        yield server


@contextmanager
def node_redis(folder: Path, *, max_memory: str) -> Iterator[Started]:
    """A Redis as a node runs it, but with `max_memory` for the logs of a long run."""
    port, password = free_port(), secrets.token_hex(16)
    config = render_config(port=port, password=password, data_dir=folder)
    with _redis(folder, f"{config}maxmemory {max_memory}\n", port, password) as server:
        yield server


@contextmanager
def gateway(folder: Path, redis_url: str, *, release: str, model: str) -> Iterator[Started]:
    """One gateway process; its log is `gateway.log` in the folder. Errors: BenchError."""
    env = os.environ | {
        "FACET_GATEWAY_REDIS_URL": redis_url,
        "FACET_GATEWAY_LISTEN": "127.0.0.1:0",
        "FACET_GATEWAY_RELEASE": release,
        "FACET_GATEWAY_MODELS": f'["{model}"]',
        "FACET_GATEWAY_LOG_LEVEL": "WARNING",
    }
    command = _bound_to_us([sys.executable, "-m", "facet.gateway"])
    with (
        (folder / "gateway.log").open("w+") as log,
        subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            yield Started(process.pid, _ready_address(process, Path(log.name)))
        finally:
            _end(process)


def load_processes(count: int, *, niceness: int) -> ProcessPoolExecutor:
    """Fresh interpreters for load; nice ones let what is measured go first."""
    return ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_load,
        initargs=(niceness, os.getpid()),
    )


def leave_on_terminate() -> None:
    """Have SIGTERM end this process by an exception, so that it ends what it started."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def _bound_to_us(command: list[str]) -> list[str]:
    """The command of a process that ends when this one does, however it ends."""
    return [sys.executable, "-m", "facet.node.child", str(os.getpid()), *command]


def _begin_load(niceness: int, parent_pid: int) -> None:
    os.nice(niceness)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit(1)


@contextmanager
def _redis(folder: Path, config: str, port: int, password: str) -> Iterator[Started]:
    path = folder / "redis.conf"
    path.write_text(config)
    command = _bound_to_us([str(find_server()), str(path)])
    with (
        (folder / "redis.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_for_port(process, port, Path(log.name))
            secret = f":{password}@" if password else ""
            yield Started(process.pid, f"redis://{secret}127.0.0.1:{port}")
        finally:
            _end(process)


def _wait_for_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < ends:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(_POLL_SECONDS)
        else:
            return
    raise BenchError(f"redis did not start:\n{log.read_text()[-2000:]}")


def _ready_address(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if selector.select(_START_SECONDS):
            line = process.stdout.readline()
            if line.startswith(_READY):
                return line.removeprefix(_READY).strip()
    raise BenchError(f"the gateway did not start:\n{log.read_text()[-2000:]}")


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
