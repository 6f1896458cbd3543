"""The registry of a model's shards in one process's memory: for tests."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from facet.queue.memory_queue import monotonic_ms
from facet.queue.registry import REGISTRATION_MS, REMEMBERED_MS, Registered


@dataclass
class MemoryRegistryBooks:
    """What all gateways and workers share; see the keys of the registry in `facet.queue.keys`."""

    clock_ms: Callable[[], int] = monotonic_ms
    origin: str = ""
    gateways: dict[tuple[int, int], int] = field(default_factory=dict)
    active: dict[int, int] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    shards: set[int] = field(default_factory=set)
    naming: set[tuple[str, str]] = field(default_factory=set)

    def lose_all(self) -> None:
        """Be as new."""
        self.origin = ""
        for each in (self.gateways, self.active, self.counts, self.shards, self.naming):
            each.clear()


class MemoryRegistry:
    """`facet.queue.registry.Registry` of one gateway, or with count 0 of one worker."""

    def __init__(self, books: MemoryRegistryBooks, *, count: int) -> None:
        self._books = books
        self._count = count

    async def register(
        self, known: Registered, *, busy: Sequence[int], empty: Sequence[int]
    ) -> Registered:
        """See `Registry.register`."""
        books, now = self._books, self._books.clock_ms()
        books.origin = books.origin or secrets.token_hex(8)
        if books.origin != known.origin:
            books.counts |= dict.fromkeys(known.counts, now)
            books.shards.update(known.shards)
        books.gateways = {key: at for key, at in books.gateways.items() if at > now}
        live = {count for count, _ in books.gateways}
        # A count whose gateways had all lapsed begins anew.
        books.active = {count: at for count, at in books.active.items() if count in live}
        if self._count:
            books.gateways[self._count, id(self)] = now + REGISTRATION_MS
            live.add(self._count)
        # Each at a time of its own: all are to agree which was first.
        since = max([now, *(at + 1 for at in books.active.values())])
        books.active = dict.fromkeys(live, since) | books.active
        books.counts |= dict.fromkeys(live, now)
        books.counts = {c: at for c, at in books.counts.items() if at > now - REMEMBERED_MS}
        most = max(live, default=0)
        books.shards |= {*range(most), *busy}
        books.shards -= {shard for shard in empty if shard >= most}
        ages = {count: now - at for count, at in books.active.items()}
        return Registered(books.origin, ages, tuple(books.counts), tuple(sorted(books.shards)))

    async def begin_naming(self, tenant: str, request_id: str) -> bool:
        """See `Registry.begin_naming`."""
        is_free = (tenant, request_id) not in self._books.naming
        self._books.naming.add((tenant, request_id))
        return is_free

    async def end_naming(self, tenant: str, request_id: str) -> None:
        """See `Registry.end_naming`."""
        self._books.naming.discard((tenant, request_id))

    async def close(self) -> None:
        """See `Registry.close`."""
