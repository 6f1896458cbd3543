"""The shards that a process serves: kept as the registry has them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from facet.core.errors import StoreUnavailableError
from facet.queue.answers import store_unavailable
from facet.queue.placement import MAX_SHARDS, home_of, shard_for
from facet.queue.port import Queue
from facet.queue.registry import Registered, Registry

REFRESH_SECONDS = 1.0

FRESH_SECONDS = 2.0
"""A request id is placed by what the registry held at most so long ago."""

SETTLED_MS = 4_000
"""A count places request ids when it was registered so long ago: by then every gateway's knowledge
is younger, and so is every submission under way (`FRESH_SECONDS` and the bound of a call)."""

IDLE_SECONDS = 15.0
"""A shard that no gateway places in goes when it was empty for so long: what a failover lost has
been queued there again by then."""

_MISS_SECONDS = 0.25
"""The registry is asked for an unknown shard when the last answer is older."""

_EVER_SECONDS = 1e12
"""Any answer will do."""

_NAMING_SECONDS = 1.5
_NAMING_POLL_SECONDS = 0.02

_log = structlog.get_logger(__name__)


class Shards:
    """Opens the queues of shards as they appear and closes those that are gone.

    The shards below `count`, or shard 0, are always served. A process that places nothing has
    count 0.
    """

    def __init__(
        self,
        registry: Registry,
        open_shard: Callable[[int], Queue],
        *,
        count: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._open = open_shard
        self._count = count
        self._clock = clock
        self._queues = {shard: open_shard(shard) for shard in range(max(count, 1))}
        self._own = frozenset(self._queues)
        self._known = Registered()
        self._known_at = float("-inf")
        self._empty_since: dict[int, float] = {}
        self._refreshing = asyncio.Lock()
        self._is_store_away = False

    @property
    def queues(self) -> Mapping[int, Queue]:
        """Those that are served, in their order; shard 0 is one of them. Never changed."""
        return self._queues

    async def find(self, shard: int) -> Queue | None:
        """The queue of a shard, which may have appeared just now; None when there is none.

        Errors: StoreUnavailableError.
        """
        queue = self._queues.get(shard)
        if queue is None and 0 <= shard < MAX_SHARDS:
            await self._know(_MISS_SECONDS)
            queue = self._queues.get(shard)
        return queue

    async def recorded(self) -> list[int]:
        """All shards that may hold usage records, in their order, served or not.

        Errors: StoreUnavailableError.
        """
        await self._know(_EVER_SECONDS)
        return sorted({*self._queues, *range(max(self._known.counts, default=0))})

    @asynccontextmanager
    async def opened(self, shard: int) -> AsyncIterator[Queue]:
        """The queue of a shard, served or not: its usage records outlast its requests."""
        served = self._queues.get(shard)
        queue = served or self._open(shard)
        try:
            yield queue
        finally:
            if served is None:
                await queue.close()

    async def place(self, tenant: str, request_id: str, *, is_limited: bool = False) -> int:
        """The shard that a new request goes to. Errors: StoreUnavailableError.

        One of a tenant that `is_limited` goes to the tenant's home, where its quota is kept.

        A count that is new waits until all gateways know of it before a request id is placed by
        it; until then the one places that was first.
        """
        is_stable = bool(request_id) or is_limited
        await self._know(FRESH_SECONDS if is_stable else _EVER_SECONDS)
        count, active = max(self._count, 1), self._known.active
        if is_stable and active and active.get(count, 0) < SETTLED_MS:
            count = max(active, key=lambda each: active[each])
        return home_of(tenant, count) if is_limited else shard_for(tenant, request_id, count)

    def elsewhere(
        self, tenant: str, request_id: str, shard: int, *, may_be_limited: bool = False
    ) -> list[Queue]:
        """Where else than in `shard` a request id may have been placed, by another count.

        Also while the tenant had a quota, or none, where deployments have such.
        """
        if not request_id:
            return []
        homes = {shard_for(tenant, request_id, count) for count in self._known.counts}
        if may_be_limited:
            homes |= {home_of(tenant, count) for count in self._known.counts}
        return [self._queues[home] for home in sorted(homes - {shard}) if home in self._queues]

    @asynccontextmanager
    async def naming(self, tenant: str, request_id: str) -> AsyncIterator[None]:
        """Keep gateways that place by other counts from placing the same request id meanwhile.

        Errors: StoreUnavailableError.
        """
        if len(self._known.active) < 2:  # noqa: PLR2004 - two counts can disagree
            yield
            return
        ends = time.monotonic() + _NAMING_SECONDS
        while not await self._registry.begin_naming(tenant, request_id):
            if time.monotonic() > ends:
                raise store_unavailable()
            await asyncio.sleep(_NAMING_POLL_SECONDS)
        try:
            yield
        finally:
            # What was submitted is submitted: otherwise the name is free again in a moment.
            with suppress(StoreUnavailableError):
                await self._registry.end_naming(tenant, request_id)

    async def run(self) -> None:
        """Follow the registry until cancelled. An unavailable store is waited for."""
        while True:
            try:
                await self.refresh()
            except StoreUnavailableError as error:
                if not self._is_store_away:
                    _log.warning("shards.store_away", cause=repr(error.__cause__))
                self._is_store_away = True
            except Exception as error:  # noqa: BLE001 - a supervisor: work would wait unseen
                _log.error("shards.failed", exc_info=error)
            else:
                self._is_store_away = False
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Ask the registry. Errors: StoreUnavailableError."""
        # An old shard that hangs holds up nobody who asks meanwhile.
        busy, empty = await self._look_at_old_ones()
        async with self._refreshing:
            await self._ask(busy, empty)

    async def close(self) -> None:
        """Close all queues and the registry."""
        for queue in self._queues.values():
            await queue.close()
        await self._registry.close()

    async def _know(self, seconds: float) -> None:
        """Have an answer of the registry that is at most so old."""
        if self._clock() - self._known_at <= seconds:
            return
        async with self._refreshing:
            if self._clock() - self._known_at > seconds:
                await self._ask()

    async def _ask(self, busy: Sequence[int] = (), empty: Sequence[int] = ()) -> None:
        asked_at = self._clock()
        known = await self._registry.register(self._known, busy=busy, empty=empty)
        self._known, self._known_at = known, asked_at
        served, wanted = self._queues, sorted(self._own.union(known.shards))
        if wanted != list(served):
            _log.info("shards.served", shards=wanted)
            # Another mapping: whoever walks over this one goes on.
            self._queues = {shard: served.get(shard) or self._open(shard) for shard in wanted}
        for shard in served.keys() - self._queues.keys():
            await served[shard].close()

    async def _look_at_old_ones(self) -> tuple[list[int], list[int]]:
        """Shards beyond all active counts that hold something, and those empty for long enough."""
        busy: list[int] = []
        empty: list[int] = []
        most = max(self._known.active, default=MAX_SHARDS)
        for shard in self._known.shards:
            if shard < most or shard not in self._queues:
                continue
            if not await self._is_empty(shard):
                self._empty_since.pop(shard, None)
                busy.append(shard)
            elif self._clock() - self._empty_since.setdefault(shard, self._clock()) >= IDLE_SECONDS:
                empty.append(shard)
        return busy, empty

    async def _is_empty(self, shard: int) -> bool:
        try:
            return await self._queues[shard].is_empty()
        except StoreUnavailableError:
            return False
