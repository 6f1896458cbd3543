"""Where the store is: the addresses of its URL, and who owns which slot of a cluster."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import parse_url

_DEFAULT_PORT = 6379
_OPTIONS = ("connection_class", "username", "password", "db")
_TLS_PREFIX = "ssl_"


@dataclass(frozen=True)
class Address:
    """One server. Port 0: `host` is the path of a Unix socket."""

    host: str
    port: int


@dataclass(frozen=True)
class StoreUrl:
    """Addresses of one store, and how to connect to any of them (credentials, database, TLS)."""

    seeds: tuple[Address, ...]
    options: Mapping[str, Any]


def parse_store_url(url: str) -> StoreUrl:
    """Take apart `redis[s]://[user:password@]host[:port][,host[:port]...][/db][?ssl_...]`.

    Also `unix://path`. Errors: ValueError, without any part of the URL but the wrong one.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("the store's URL does not begin with redis://, rediss:// or unix://")
    credentials, at, hosts = parts.netloc.rpartition("@")
    options = parse_url(parts._replace(netloc=f"{credentials}{at}").geturl())
    path = options.pop("path", None)
    unknown = [
        name for name in options if name not in _OPTIONS and not name.startswith(_TLS_PREFIX)
    ]
    if unknown:
        raise ValueError(f"the store's URL has an unknown option {unknown[0]!r}")
    if path is not None:
        return StoreUrl((Address(path, 0),), options)
    seeds = [_address(text) for text in (hosts or "localhost").split(",")]
    return StoreUrl(tuple(dict.fromkeys(seeds)), options)


def _address(text: str) -> Address:
    parts = urlsplit(f"//{text}")
    try:
        port = _DEFAULT_PORT if parts.port is None else parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} has no valid port") from error
    if not parts.hostname:
        raise ValueError(f"{text!r} is no address of a server")
    return Address(parts.hostname, port)


class Topology:
    """Which address a call goes to. Holds no connections.

    Without a cluster one seed counts as the primary until it fails, then the next. In a cluster
    redirections tell the owners of slots; an unknown slot is asked for at the owner of the nearest
    known one, for a node owns ranges, or at a seed while none is known.
    """

    def __init__(self, seeds: Sequence[Address]) -> None:
        self._seeds = tuple(seeds)
        self._current = 0
        self._owners: dict[int, Address] = {}
        self._known: list[int] = []

    @property
    def seed_count(self) -> int:
        """Number of addresses that were configured."""
        return len(self._seeds)

    def address_of(self, slot: int) -> Address:
        """Where to send what belongs to a slot."""
        owner = self._owners.get(slot)
        if owner is not None:
            return owner
        if not self._known:
            return self._seeds[self._current]
        at = bisect_left(self._known, slot)
        nearest = min(self._known[max(at - 1, 0) : at + 1], key=lambda known: abs(known - slot))
        return self._owners[nearest]

    def moved(self, slot: int, owner: Address) -> None:
        """A redirection told the owner of a slot."""
        if slot not in self._owners:
            insort(self._known, slot)
        self._owners[slot] = owner

    def failed(self, address: Address) -> None:
        """A call to an address failed: go elsewhere, if there is an elsewhere.

        A late failure of an address that nothing is sent to any more changes nothing.
        """
        self._owners = {slot: owner for slot, owner in self._owners.items() if owner != address}
        self._known = sorted(self._owners)
        if self._seeds[self._current] == address:
            self._current = (self._current + 1) % len(self._seeds)
