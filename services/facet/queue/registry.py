"""The registry of a model's shards: which there are, and by how many gateways place requests."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from facet.queue.connection import RedisConnection
from facet.queue.keys import Keys, idempotency_name
from facet.queue.lua import load_scripts
from facet.queue.store import Store

REGISTRATION_MS = 10_000
"""A gateway that was not heard of for so long places nothing any more."""

REMEMBERED_MS = 400 * 24 * 3_600_000
"""How long the requests and usage records of a count are looked for after its last gateway: longer
than any is kept."""

NAMING_MS = 5_000
"""Longer than a submission takes with all its look-ups."""


@dataclass(frozen=True)
class Registered:
    """What the registry holds.

    `active` are the counts of shards by which live gateways place, with the milliseconds since they
    have done so, for each another. `counts` are all whose requests may still be there. `origin`
    names the registry's history.
    """

    origin: str = ""
    active: Mapping[int, int] = field(default_factory=dict)
    counts: tuple[int, ...] = ()
    shards: tuple[int, ...] = ()


class Registry(Protocol):
    """Shared by all gateways and workers of a model. All raise StoreUnavailableError."""

    async def register(
        self, known: Registered, *, busy: Sequence[int], empty: Sequence[int]
    ) -> Registered:
        """Renew one's own registration, if one has any, and read all.

        `known` is the last answer: a registry that lost everything is told of it. `busy` and
        `empty` are shards beyond every active count that hold something, or are to go.
        """

    async def begin_naming(self, tenant: str, request_id: str) -> bool:
        """Take a request id for oneself; False while another one has it."""

    async def end_naming(self, tenant: str, request_id: str) -> None:
        """Give it back."""

    async def close(self) -> None:
        """Release connections."""


class RedisRegistry:
    """`Registry` in Redis, beside shard 0: with one shard nothing else has to answer."""

    def __init__(
        self, connection: RedisConnection, keys: Keys, *, count: int, clock: str | None = None
    ) -> None:
        self._redis = connection
        self._keys = keys
        self._count = count
        self._name = secrets.token_hex(8)
        self._script = (load_scripts(clock) if clock else load_scripts())["register"]

    @classmethod
    def connect(
        cls,
        store: Store | str,
        *,
        release: str,
        model: str,
        count: int,
        clock: str | None = None,
    ) -> Self:
        """For a gateway that places by `count` shards; 0 registers nothing.

        `clock` replaces the script's definition of the store's time, see `facet.queue.lua`.
        Errors: ValueError when release or model cannot be part of a key.
        """
        keys = Keys(release, model)
        return cls(RedisConnection(store, keys.base), keys, count=count, clock=clock)

    async def register(
        self, known: Registered, *, busy: Sequence[int], empty: Sequence[int]
    ) -> Registered:
        """See `Registry.register`."""
        origin, active, counts, shards = await self._redis.run(
            self._script,
            *(known.origin, secrets.token_hex(8)),
            *(self._name if self._count else "", self._count),
            *(REGISTRATION_MS, REMEMBERED_MS),
            *(_joined(busy), _joined(empty), _joined(known.shards), _joined(known.counts)),
        )
        since = dict(zip(active[::2], active[1::2], strict=True))
        return Registered(origin.decode(), since, tuple(counts), tuple(sorted(shards)))

    async def begin_naming(self, tenant: str, request_id: str) -> bool:
        """See `Registry.begin_naming`."""
        key = self._naming_key(tenant, request_id)
        return bool(await self._redis.command("SET", key, "1", "NX", "PX", NAMING_MS))

    async def end_naming(self, tenant: str, request_id: str) -> None:
        """See `Registry.end_naming`."""
        await self._redis.command("DEL", self._naming_key(tenant, request_id))

    async def close(self) -> None:
        """See `Registry.close`."""
        await self._redis.close()

    def _naming_key(self, tenant: str, request_id: str) -> str:
        return self._keys.of("naming", idempotency_name(tenant, request_id))


def _joined(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))
