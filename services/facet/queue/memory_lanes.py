"""The in-memory twin's lanes: what waits, in which order, and who had how much of it."""

from __future__ import annotations

import bisect
from collections import defaultdict
from dataclasses import dataclass

from facet.queue.limits import MAX_BATCH, MAX_TENANTS_REMEMBERED
from facet.queue.memory_record import Lane, Record
from facet.queue.values import Priority


@dataclass
class Load:
    """What waits: of one class, of one tenant, or in all."""

    requests: int = 0
    tokens: int = 0
    size_bytes: int = 0

    def count(self, record: Record, sign: int) -> None:
        """Add a request, or with -1 take it off."""
        self.requests += sign
        self.tokens += sign * record.size
        self.size_bytes += sign * record.size_bytes


class Lanes:
    """A FIFO for each tenant in each lane; in a class, tenants in the order of virtual time.

    A tenant's virtual time is the tokens that it was given in a class, divided by its weight.
    """

    def __init__(self) -> None:
        self.loads: defaultdict[int, Load] = defaultdict(Load)
        self.tenant_loads: defaultdict[str, Load] = defaultdict(Load)
        self._fifos: dict[Lane, dict[str, list[tuple[int, str]]]] = {}
        self._waiting_at: defaultdict[int, dict[str, float]] = defaultdict(dict)
        self._served: defaultdict[int, dict[str, float]] = defaultdict(dict)
        self._clock: defaultdict[int, float] = defaultdict(float)

    @property
    def lanes(self) -> list[Lane]:
        """Those that hold somebody."""
        return list(self._fifos)

    def total(self) -> Load:
        """What waits, all classes together."""
        loads = [self.loads[priority] for priority in Priority]
        return Load(
            sum(each.requests for each in loads),
            sum(each.tokens for each in loads),
            sum(each.size_bytes for each in loads),
        )

    def enter(self, record: Record) -> None:
        """Put a request where it waits, at its place."""
        lane, tenant = record.lane, record.tenant
        at = self._virtual_time(lane.kind, tenant)
        fifo = self._fifos.setdefault(lane, {}).setdefault(tenant, [])
        bisect.insort(fifo, (record.place, record.generation_id))
        self._waiting_at[lane.kind][tenant] = at
        self._count(record, 1)

    def leave(self, record: Record) -> None:
        """Take a request out of its lane."""
        lane, tenant = record.lane, record.tenant
        fifo = self._fifos[lane][tenant]
        fifo.remove((record.place, record.generation_id))
        if not fifo:
            del self._fifos[lane][tenant]
        if not self._fifos[lane]:
            del self._fifos[lane]
        if not any(tenant in self._fifos[other] for other in self._of_kind(lane.kind)):
            del self._waiting_at[lane.kind][tenant]
        self._count(record, -1)

    def charge(self, record: Record, tokens: float) -> None:
        """Move a tenant in virtual time by tokens that it was given, or gets back."""
        if not tokens:
            return
        kind, tenant = int(record.submission.priority), record.tenant
        at = self._virtual_time(kind, tenant) + tokens / record.weight
        self._served[kind][tenant] = at
        if tenant in self._waiting_at[kind]:
            self._waiting_at[kind][tenant] = at

    def correct(self, record: Record, tokens: int) -> None:
        """Replace what was charged, if anything, by what the request took."""
        if record.charged > 0:
            self.charge(record, tokens - record.charged)

    def pay(self, record: Record, at: float) -> None:
        """Charge for a request of a tenant that stands at `at`, where its class stands then."""
        kind = int(record.submission.priority)
        self._clock[kind] = max(self._clock[kind], at)
        self.charge(record, record.size)
        record.charged = record.size
        served = self._served[kind]
        if len(served) > MAX_TENANTS_REMEMBERED:
            for _, tenant in sorted((at, name) for name, at in served.items())[:MAX_BATCH]:
                del served[tenant]

    def first_tenants(self, lane: Lane, count: int) -> list[tuple[float, str]]:
        """Tenants by their virtual time."""
        times = self._waiting_at[lane.kind]
        return sorted((times[tenant], tenant) for tenant in self._fifos.get(lane, ()))[:count]

    def oldest_tenants(self, lane: Lane, count: int) -> list[tuple[float, str]]:
        """Tenants by the place of their first request."""
        fifos = self._fifos.get(lane, {})
        return sorted((float(fifo[0][0]), tenant) for tenant, fifo in fifos.items())[:count]

    def oldest_place(self, lane: Lane) -> int | None:
        """That of the longest waiting request."""
        return min((fifo[0][0] for fifo in self._fifos.get(lane, {}).values()), default=None)

    def first_id(self, lane: Lane, tenant: str) -> str:
        """The request that comes next."""
        return self._fifos[lane][tenant][0][1]

    def ahead(self, record: Record) -> tuple[int, int]:
        """Estimates of the requests and tokens before a waiting one; `requests_ahead` in Lua."""
        own = int(record.submission.priority)
        fifos = self._fifos[record.lane]
        fifo = fifos[record.tenant]
        rank = fifo.index((record.place, record.generation_id))
        requests, tokens = 0, 0.0
        for kind in range(1, own):
            requests += self.loads[kind].requests
            tokens += self.loads[kind].tokens
        load = self.loads[own]
        # As many of each tenant as stand before it of its own.
        ahead = min(rank * len(fifos), load.requests - 1)
        if load.requests > 0:
            tokens += load.tokens * ahead / load.requests
        return max(requests + ahead, 0), max(int(tokens // 1), 0)

    def _of_kind(self, kind: int) -> list[Lane]:
        return [lane for lane in self._fifos if lane.kind == kind]

    def _virtual_time(self, kind: int, tenant: str) -> float:
        """One with nothing waiting starts at the class's current virtual time."""
        at = self._waiting_at[kind].get(tenant)
        if at is not None:
            return at
        return max(self._served[kind].get(tenant, 0.0), self._clock[kind])

    def _count(self, record: Record, sign: int) -> None:
        self.loads[int(record.submission.priority)].count(record, sign)
        self.tenant_loads[record.tenant].count(record, sign)
        if not self.tenant_loads[record.tenant].requests:
            del self.tenant_loads[record.tenant]
