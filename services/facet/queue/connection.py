"""Connections to Redis: scripts by digest, a bound on every call, one error for all trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError

from facet.core.errors import FacetError, StoreUnavailableError
from facet.queue.answers import store_unavailable
from facet.queue.lua import Script

CALL_SECONDS = 1.8
"""Bound of an ordinary call, loading its script and waiting for a connection included."""

CONNECT_SECONDS = 1.0
BLOCK_SLACK_SECONDS = 1.5
"""How much longer than its block time a blocking call may take."""

Argument = str | bytes | int | float
_Execute = Callable[..., Awaitable[Any]]
_CALL_CONNECTIONS = 16
_BLOCKING_CONNECTIONS = 32


def redis_client(
    url: str, *, max_connections: int, call_seconds: float | None = CALL_SECONDS
) -> Redis:
    """A client that sends no command but those asked for (AUTH and SELECT aside), never retries.

    A pooled connection that the server closed is replaced before use, so a restarted server costs
    no error once it answers.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        protocol=2,
        driver_info=None,
        max_connections=max_connections,
        timeout=CALL_SECONDS,
        socket_timeout=call_seconds,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


async def bounded(
    seconds: float,
    call: Callable[[], Awaitable[Any]],
    *,
    out_of_memory: type[FacetError] = StoreUnavailableError,
) -> Any:
    """The call's answer within the time, else StoreUnavailableError.

    `out_of_memory` is raised when the server refuses for want of memory. A cancel always ends it.
    """
    task = asyncio.current_task()
    cancels = task.cancelling() if task else 0
    try:
        async with asyncio.timeout(seconds):
            answer = await call()
    except OutOfMemoryError as error:
        raise out_of_memory("the store has no memory left; nothing was stored") from error
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

    All methods raise StoreUnavailableError.
    """

    def __init__(self, url: str, base: str) -> None:
        self._base = base
        self._calls = redis_client(url, max_connections=_CALL_CONNECTIONS)
        self._blocking = redis_client(url, max_connections=_BLOCKING_CONNECTIONS, call_seconds=None)
        self._execute: _Execute = self._calls.execute_command
        self._execute_blocking: _Execute = self._blocking.execute_command

    async def run(
        self,
        script: Script,
        *arguments: Argument,
        out_of_memory: type[FacetError] = StoreUnavailableError,
    ) -> Any:
        """Run a script, loading it when the server does not have it (new, or restarted)."""
        call = ("EVALSHA", script.sha, 1, self._base, *arguments)

        async def evaluate() -> Any:
            try:
                return await self._execute(*call)
            except NoScriptError:
                await self._execute("SCRIPT LOAD", script.text)
                return await self._execute(*call)

        return await bounded(CALL_SECONDS, evaluate, out_of_memory=out_of_memory)

    async def command(self, *arguments: Argument) -> Any:
        """Run one ordinary command."""
        return await bounded(CALL_SECONDS, lambda: self._execute(*arguments))

    async def block(self, block_ms: int, *arguments: Argument) -> Any:
        """Run one command that the server may answer only after `block_ms`."""
        return await bounded(
            block_ms / 1000 + BLOCK_SLACK_SECONDS, lambda: self._execute_blocking(*arguments)
        )

    async def close(self) -> None:
        """Close all connections; calls under way fail."""
        await self._calls.aclose(close_connection_pool=True)
        await self._blocking.aclose(close_connection_pool=True)
