"""Sends each command to the server that holds its slot, and finds that server."""

from __future__ import annotations

from typing import Any, Self

from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - the client's name for it
    MasterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from facet.queue.servers import Argument, Servers, UnreachedError
from facet.queue.store import Store
from facet.queue.topology import Address, Topology

CONNECT_SECONDS = 1.0
_CONNECT_SECONDS_OF_SEVERAL = 0.7
"""Two addresses that swallow packets still leave a call time for a third."""

_ANSWER_SHARE = 0.9
"""Of a call's bound: a server that hangs is told from a caller that gave up."""

_MORE_TRIES = 4
"""Beyond one a seed: redirections, and the second look at an address that lost its role."""

_REFUSALS = (ReadOnlyError, BusyLoadingError, MasterDownError)
_REFUSAL_CODES = ("NOREPLICAS",)
_GONE_CODES = ("UNBLOCKED",)
_REFUSAL_OF_SCRIPT = "-READONLY "
"""Redis before 7 wraps what a script's command was refused with."""


class Router:
    """One store of any topology: a server, a primary with replicas, or a cluster.

    Only a command that did not run is sent again: redirected, refused for the server's role or
    state, or never sent. `follows_ask` is for commands whose keys all stand in the command: the
    node that a slot moves to answers ASK-ed ones with what it has of the slot so far.
    """

    def __init__(self, topology: Topology, servers: Servers, *, follows_ask: bool) -> None:
        self._topology = topology
        self._servers = servers
        self._follows_ask = follows_ask

    @classmethod
    def connect(cls, store: Store | str, *, call_seconds: float, follows_ask: bool) -> Self:
        """For a store, or the one at a URL; connects with the first call.

        `call_seconds` is the bound that the caller sets on each call.
        """
        store = Store.of(store)
        is_single = len(store.seeds) == 1
        topology = Topology(store.seeds)
        servers = Servers(
            store,
            connect_seconds=CONNECT_SECONDS if is_single else _CONNECT_SECONDS_OF_SEVERAL,
            answer_seconds=call_seconds * _ANSWER_SHARE,
        )
        return cls(topology, servers, follows_ask=follows_ask)

    def address_of(self, slot: int) -> Address:
        """Where the next command of a slot goes first."""
        return self._topology.address_of(slot)

    async def execute(
        self, slot: int, *arguments: Argument, is_blocking: bool = False, replicas: int = 0
    ) -> Any:
        """The answer to one command whose keys are all in `slot`; `replicas` as in `Servers.send`.

        The caller bounds it. Errors: RedisError, OSError, TimeoutError.
        """
        unreached: set[Address] = set()
        address, is_asking = self._topology.address_of(slot), False
        tries_left = self._topology.seed_count + _MORE_TRIES
        while True:
            tries_left -= 1
            try:
                return await self._servers.send(
                    address,
                    *arguments,
                    is_asking=is_asking,
                    is_blocking=is_blocking,
                    replicas=replicas,
                )
            except (RedisError, OSError, TimeoutError) as error:
                await self._learn(error, slot, address)
                if isinstance(error, UnreachedError):
                    unreached.add(address)
                if not (tries_left and self._is_sendable_again(error)):
                    raise
                is_asking = isinstance(error, AskError) and not isinstance(error, MovedError)
                address = self._next(error, slot, address)
                if address in unreached:
                    raise

    async def execute_at(self, address: Address, *arguments: Argument) -> Any:
        """The answer of one server to one command without keys. Bounds and errors: `execute`."""
        return await self._servers.send(address, *arguments)

    async def close(self) -> None:
        """Close all connections; calls under way and later ones fail."""
        await self._servers.close()

    def _is_sendable_again(self, error: Exception) -> bool:
        if isinstance(error, AskError):
            return self._follows_ask or isinstance(error, MovedError)
        return isinstance(error, UnreachedError) or _is_refusal(error)

    def _next(self, error: Exception, slot: int, asked: Address) -> Address:
        if isinstance(error, AskError):
            return _target(error, asked)
        return self._topology.address_of(slot)

    async def _learn(self, error: Exception, slot: int, address: Address) -> None:
        if isinstance(error, MovedError):
            self._topology.moved(slot, _target(error, address))
        elif _is_refusal(error) or _is_gone(error):
            self._topology.failed(address)
            await self._servers.renew(address)


def _is_refusal(error: Exception) -> bool:
    """Whether another server, or this one when it is asked anew, may do what this one did not."""
    return isinstance(error, _REFUSALS) or (
        isinstance(error, ResponseError)
        and (_code(error) in _REFUSAL_CODES or _REFUSAL_OF_SCRIPT in str(error))
    )


def _is_gone(error: Exception) -> bool:
    """Whether the server cannot be relied on any more."""
    if isinstance(error, (UnreachedError, ConnectionError, ClusterDownError)):
        return True
    return not isinstance(error, RedisError) or _code(error) in _GONE_CODES


def _code(error: Exception) -> str:
    return str(error).partition(" ")[0]


def _target(error: AskError, asked: Address) -> Address:
    # A node that does not know its own name leaves the host out: it is the one that was asked.
    host, port = error.node_addr
    return Address(host if host not in ("", "?") else asked.host, port)
