"""Connections to Redis: scripts by digest, a bound on every call, one error for all trouble."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any

from prometheus_client import Counter, Histogram
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    RedisError,
    TryAgainError,
)

from facet.core.errors import FacetError
from facet.core.telemetry.store_metrics import CALL_FAILURES
from facet.core.telemetry.store_metrics import CALL_SECONDS as CALL_TIMES
from facet.queue.answers import no_memory, store_unavailable
from facet.queue.lua import Script
from facet.queue.routing import Router
from facet.queue.servers import Argument
from facet.queue.store import Store

__all__ = ["Argument", "RedisConnection", "bounded"]

CALL_SECONDS = 1.8
"""Bound of an ordinary call, loading its script and waiting for a connection included."""

BLOCK_SLACK_SECONDS = 1.5
"""How much longer than its block time a blocking call may take."""

_REPLICATED_AT_ONCE = 16
"""Calls that wait for replicas: blocked reads keep as many connections for themselves."""

_MOVING_SLOT_SECONDS = 0.05
"""Between looks at a slot that is on its way from one node to another."""


async def bounded(
    seconds: float,
    call: Callable[[], Awaitable[Any]],
    *,
    name: str,
    out_of_memory: Callable[[], FacetError] = no_memory,
) -> Any:
    """The call's answer within the time, else StoreUnavailableError.

    `name` is the call's in the metrics. `out_of_memory` makes what is raised when the server
    refuses for want of memory. A cancel always ends it.
    """
    times, failures = _metrics(name)
    began = time.monotonic()
    try:
        answer = await _answered(seconds, call, out_of_memory)
    except FacetError:
        failures.inc()
        raise
    times.observe(time.monotonic() - began)
    return answer


@cache
def _metrics(name: str) -> tuple[Histogram, Counter]:
    return CALL_TIMES.labels(name), CALL_FAILURES.labels(name)


async def _answered(
    seconds: float, call: Callable[[], Awaitable[Any]], out_of_memory: Callable[[], FacetError]
) -> Any:
    task = asyncio.current_task()
    cancels = task.cancelling() if task else 0
    try:
        async with asyncio.timeout(seconds):
            answer = await call()
    except OutOfMemoryError as error:
        raise out_of_memory() from error
    except (RedisError, OSError, TimeoutError) as error:
        _end_if_cancelled(task, cancels)
        raise store_unavailable() from error
    _end_if_cancelled(task, cancels)
    return answer


def _end_if_cancelled(task: asyncio.Task[Any] | None, cancels: int) -> None:
    # The client drops a cancel that meets the arrival of an answer (one in four, measured); a
    # background loop would then never end.
    if task and task.cancelling() > cancels:
        raise asyncio.CancelledError


class RedisConnection:
    """Runs scripts of one key base, and blocking commands on connections of their own.

    Everything goes to the server that holds the key base. All methods raise StoreUnavailableError.
    """

    def __init__(self, store: Store | str, base: str) -> None:
        self._base = base
        self._slot = key_slot(base.encode())
        self._router = Router.connect(store, call_seconds=CALL_SECONDS, follows_ask=False)
        self._replicated = asyncio.Semaphore(_REPLICATED_AT_ONCE)

    async def run(
        self,
        script: Script,
        *arguments: Argument,
        out_of_memory: Callable[[], FacetError] = no_memory,
    ) -> Any:
        """Run a script, loading it when the server does not have it (new, or restarted)."""
        return await bounded(
            CALL_SECONDS,
            lambda: self._evaluate(script, arguments),
            name=script.name,
            out_of_memory=out_of_memory,
        )

    async def run_replicated(
        self,
        script: Script,
        *arguments: Argument,
        replicas: int,
        out_of_memory: Callable[[], FacetError] = no_memory,
    ) -> tuple[Any, int]:
        """As `run`; also how many replicas have what the script wrote.

        Waits until `replicas` have, a second at most. A script that wrote nothing is known to all.
        """

        async def evaluate() -> Any:
            # On a connection for blocking calls: replicas that hang do not stop all others.
            async with self._replicated:
                return await self._evaluate(script, arguments, is_blocking=True, replicas=replicas)

        answer, count = await bounded(
            CALL_SECONDS, evaluate, name=script.name, out_of_memory=out_of_memory
        )
        return answer, count

    async def command(self, *arguments: Argument) -> Any:
        """Run one ordinary command, on keys of the base or on none."""
        return await bounded(
            CALL_SECONDS, lambda: self._execute(*arguments), name=str(arguments[0]).lower()
        )

    async def block(self, block_ms: int, *arguments: Argument) -> Any:
        """Run one command that the server may answer only after `block_ms`."""
        # How long it waited is no latency.
        return await _answered(
            block_ms / 1000 + BLOCK_SLACK_SECONDS,
            lambda: self._execute(*arguments, is_blocking=True),
            no_memory,
        )

    async def close(self) -> None:
        """Close all connections; calls under way and later ones fail."""
        await self._router.close()

    async def _evaluate(
        self,
        script: Script,
        arguments: Sequence[Argument],
        *,
        is_blocking: bool = False,
        replicas: int = 0,
    ) -> Any:
        call = ("EVALSHA", script.sha, 1, self._base, *arguments)
        try:
            return await self._execute(*call, is_blocking=is_blocking, replicas=replicas)
        except NoScriptError:
            await self._execute("SCRIPT LOAD", script.text)
            return await self._execute(*call, is_blocking=is_blocking, replicas=replicas)

    async def _execute(
        self, *arguments: Argument, is_blocking: bool = False, replicas: int = 0
    ) -> Any:
        while True:
            try:
                return await self._router.execute(
                    self._slot, *arguments, is_blocking=is_blocking, replicas=replicas
                )
            except MovedError:
                raise
            except (AskError, TryAgainError):
                # Half of the keys are at either node. A script names none of them, so the new node
                # would take the missing ones for empty: nothing runs until all have arrived.
                await asyncio.sleep(_MOVING_SLOT_SECONDS)
