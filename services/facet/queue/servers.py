"""Connections to the store's servers: opened when needed, each asked once what its server is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, RedisError

from facet.queue.store import Store
from facet.queue.topology import Address

Argument = str | bytes | int | float
_Open = Callable[[], Connection]
_Greet = Callable[[Connection], Any]
# Mappings for the entries of a stream would cost more than reading them.
_AS_THEY_COME = ("XREAD",)
REPLICATION_MS = 1_000
"""How long replicas are waited for, within the bound of a call."""

_CALL_CONNECTIONS = 16
_BLOCKING_CONNECTIONS = 32


class UnreachedError(RedisError):
    """Nothing was sent: there is no connection, or only one to a server that may not be used."""


class _Pool:
    """Connections to one server, each used by one call at a time; the latest used goes first."""

    def __init__(self, make: _Open, greet: _Greet, size: int, connect_seconds: float) -> None:
        self._make = make
        self._greet = greet
        self._connect_seconds = connect_seconds
        self._seats = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._used: dict[Connection, int] = {}
        self._age = 0

    async def take(self) -> Connection:
        """A connection that is open. Waits without a bound for one to be free.

        Errors: UnreachedError.
        """
        await self._seats.acquire()
        try:
            connection = self._idle.pop() if self._idle else self._make()
        except BaseException:
            self._seats.release()
            raise
        self._used[connection] = self._age
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self._open(connection)
        except BaseException as error:
            await connection.disconnect(nowait=True)
            await self.give(connection)
            if isinstance(error, (RedisError, OSError, TimeoutError)):
                raise UnreachedError(*error.args) from error
            raise
        return connection

    async def give(self, connection: Connection) -> None:
        """Give back what was taken."""
        is_kept = self._used.pop(connection) == self._age
        self._seats.release()
        if is_kept and connection.is_connected:
            self._idle.append(connection)
        else:
            await connection.disconnect(nowait=True)

    async def renew(self) -> None:
        """Let no later call use a connection that is open now; those in use go on."""
        self._age += 1
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Close all connections; calls under way fail."""
        await self.renew()
        for connection in list(self._used):
            await connection.disconnect(nowait=True)

    async def _open(self, connection: Connection) -> None:
        # Something to read before a command was sent is the end of the stream.
        if connection.is_connected and await connection.can_read():
            await connection.disconnect(nowait=True)
        if not connection.is_connected:
            await connection.connect()  # type: ignore[no-untyped-call]
            await self._greet(connection)


class Servers:
    """One store's servers by address.

    The commands sent are those asked for and, when a connection opens, AUTH, SELECT and INFO. A
    connection that the server closed is replaced before use, so a restarted server costs no error
    once it answers. A replica is never used, unless it is a node of a cluster, which redirects.
    """

    def __init__(
        self,
        store: Store,
        *,
        connect_seconds: float,
        answer_seconds: float,
    ) -> None:
        self._store = store
        self._options = {
            "protocol": 2,
            "driver_info": None,
            "socket_timeout": None,
            "socket_connect_timeout": connect_seconds,
            "retry": Retry(NoBackoff(), 0),
        }
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._pools: dict[tuple[Address, bool], _Pool] = {}
        self._is_closed = False
        # Never connects: it only knows the forms of answers.
        self._forms = Redis(protocol=2)
        for name in _AS_THEY_COME:
            self._forms.response_callbacks.pop(name)

    async def send(
        self,
        address: Address,
        *arguments: Argument,
        is_asking: bool = False,
        is_blocking: bool = False,
        replicas: int = 0,
    ) -> Any:
        """The answer of one server to one command.

        Blocking commands have connections of their own and no bound. `is_asking` lets the node
        that a slot moves to answer. With `replicas` the answer is a pair: it is given when so many
        replicas have what the command wrote, or after REPLICATION_MS, and tells how many have.
        Errors: UnreachedError when nothing was sent; RedisError, OSError and TimeoutError when the
        command may have run, or was refused.
        """
        if self._is_closed:
            raise UnreachedError("the connections were closed")
        pool = self._pool(address, is_blocking)
        try:
            connection = await pool.take()
        except UnreachedError as error:
            self._store.refused(address, error)
            raise
        try:
            async with asyncio.timeout(None if is_blocking else self._answer_seconds):
                if is_asking:
                    await connection.send_command("ASKING")
                    await connection.read_response()
                await connection.send_packed_command(_packed(arguments))
                answer = await self._forms.parse_response(connection, str(arguments[0]))
                if not replicas:
                    return answer
                # WAIT looks at what its own connection wrote.
                await connection.send_command("WAIT", replicas, REPLICATION_MS)
                return answer, await self._forms.parse_response(connection, "WAIT")
        finally:
            await pool.give(connection)

    async def renew(self, address: Address) -> None:
        """Let later calls to an address connect anew, and so resolve and check it anew."""
        for is_blocking in (False, True):
            pool = self._pools.get((address, is_blocking))
            if pool is not None:
                await pool.renew()

    async def close(self) -> None:
        """Close all connections; calls under way and later ones fail."""
        self._is_closed = True
        for pool in list(self._pools.values()):
            await pool.close()

    def _pool(self, address: Address, is_blocking: bool) -> _Pool:
        pool = self._pools.get((address, is_blocking))
        if pool is None:
            pool = self._pools[address, is_blocking] = _Pool(
                lambda: self._store.connection(address, **self._options),
                lambda connection: self._greet(address, connection),
                _BLOCKING_CONNECTIONS if is_blocking else _CALL_CONNECTIONS,
                self._connect_seconds,
            )
        return pool

    async def _greet(self, address: Address, connection: Connection) -> None:
        # Two sections at once are understood from Redis 7 on only.
        await connection.send_command("INFO", "replication")
        await connection.send_command("INFO", "cluster")
        facts = _facts(await connection.read_response()) | _facts(await connection.read_response())
        if facts.get("role") == "slave" and facts.get("cluster_enabled") != "1":
            raise ReadOnlyError("the server is a replica")
        self._store.entered(address)


def _packed(arguments: Sequence[Argument]) -> bytes:
    """One command as it is sent; the client's own packing takes five times as long."""
    pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)
    name, *others = arguments
    return pack((*str(name).split(), *others))


def _facts(reply: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, _, value in lines}
