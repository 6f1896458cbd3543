"""How long scripts took by the server's own clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from redis import Redis

from tools.bench.traffic import Operations

_KEPT_ENTRIES = 20_000
_SLOW_US = 500
_WORST_KEPT = 5
# Dropping some million keys takes many seconds.
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class SlowScript:
    """One run of a script."""

    milliseconds: float
    operation: str
    phase: str


class ScriptTimes:
    """Reads the slow log. Scripts of half a millisecond are always noticed, all of them on request.

    The times include what the operating system took the processor away for.
    """

    def __init__(self, url: str) -> None:
        self._redis: Redis = Redis.from_url(url, protocol=2, socket_timeout=_PATIENCE_SECONDS)
        # The client leaves what comes back as it is only when the command is in two words.
        self._execute: Callable[..., Any] = self._redis.execute_command
        self._operations = Operations()
        self._worst: list[SlowScript] = []
        self._configure("slowlog-max-len", _KEPT_ENTRIES)
        self._configure("slowlog-log-slower-than", _SLOW_US)
        self.count_over_5_ms = 0

    @contextmanager
    def all_scripts(self) -> Iterator[None]:
        """Log every script while the context is open; drain it every few thousand."""
        self._configure("slowlog-log-slower-than", 0)
        try:
            yield
        finally:
            self._configure("slowlog-log-slower-than", _SLOW_US)

    def drain(self, phase: str) -> dict[str, list[float]]:
        """Microseconds of what was logged since the last call, by operation, in order."""
        entries: list[Any] = self._execute("SLOWLOG", "GET", _KEPT_ENTRIES)
        self._execute("SLOWLOG", "RESET")
        times: dict[str, list[float]] = defaultdict(list)
        for _, _, microseconds, arguments, *_ in reversed(entries):
            if arguments[0].upper() == b"EVALSHA":
                operation = self._operations.name(arguments)
                times[operation].append(float(microseconds))
                self._note(SlowScript(microseconds / 1000, operation, phase))
        return times

    def worst(self) -> list[SlowScript]:
        """The slowest of all drained, the slowest first."""
        return list(self._worst)

    def cpu_seconds(self) -> float:
        """Processor time that the server used so far."""
        info: Any = self._redis.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])

    def used_memory(self) -> int:
        """Bytes that the server holds."""
        info: Any = self._redis.info("memory")
        return int(info["used_memory"])

    def empty(self) -> None:
        """Drop all keys; the scripts stay loaded."""
        self._redis.flushall(asynchronous=False)

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _note(self, script: SlowScript) -> None:
        self.count_over_5_ms += script.milliseconds > 5
        worst = [*self._worst, script]
        self._worst = sorted(worst, key=lambda each: -each.milliseconds)[:_WORST_KEPT]

    def _configure(self, name: str, value: int) -> None:
        self._redis.config_set(name, value)
