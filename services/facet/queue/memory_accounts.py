"""The in-memory twin's accounts: what tenants may use, and what their generations took.

What `accounts.lua` does in Redis, in plain Python.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from facet.queue.limits import MINUTE_MS
from facet.queue.memory_record import Record
from facet.queue.values import Quota
from facet.queue.views import UsageRecord


@dataclass
class Buckets:
    """When a tenant's buckets are full, ms; `pace` is how long a token takes, 0 without limit."""

    requests_full: float = 0.0
    tokens_full: float = 0.0
    pace: float = 0.0


@dataclass(frozen=True)
class Refusal:
    """The limit that a request would break, and when it fits; None when only an end tells."""

    bound: str
    most: int
    wait_ms: int | None


class Accounts:
    """Buckets and live generations of the tenants with limits, and all usage records."""

    def __init__(self) -> None:
        self.usage: list[tuple[int, UsageRecord]] = []
        self._buckets: defaultdict[str, Buckets] = defaultdict(Buckets)
        self._live: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._number = 0

    def refusal(self, record: Record, quota: Quota, now: int) -> Refusal | None:
        """Why a request may not be accepted."""
        buckets, most = self._buckets[record.tenant], quota.requests_per_minute
        wait = _wait(buckets.requests_full, 1, most, now)
        if wait > 0:
            return Refusal("requests_per_minute", most, math.ceil(wait))
        most = quota.tokens_per_minute
        wait = _wait(buckets.tokens_full, record.size, most, now)
        if wait > 0:
            return Refusal("tokens_per_minute", most, math.ceil(wait))
        if 0 < quota.max_concurrent <= len(self._live[record.tenant]):
            return Refusal("max_concurrent", quota.max_concurrent, None)
        return None

    def first_due_ms(self, tenant: str) -> int:
        """When the first of a tenant's live generations ends at the latest."""
        return min(self._live[tenant].values())

    def reserve(self, record: Record, quota: Quota, now: int) -> None:
        """Charge a request that is accepted."""
        record.reserved = record.size
        self._live[record.tenant][record.generation_id] = record.due_ms
        buckets = self._buckets[record.tenant]
        if quota.requests_per_minute:
            full = max(buckets.requests_full, now)
            buckets.requests_full = full + MINUTE_MS / quota.requests_per_minute
        most = quota.tokens_per_minute
        buckets.pace = MINUTE_MS / most if most else 0.0
        buckets.tokens_full = max(buckets.tokens_full, now) + record.size * buckets.pace

    def reserve_again(self, record: Record, now: int) -> None:
        """Charge a dead letter that is redriven; nothing is refused to an operator."""
        if record.reserved:
            self._live[record.tenant][record.generation_id] = record.due_ms
            self._take(record.tenant, record.reserved, now)

    def settle(self, record: Record, took: int, now: int) -> None:
        """Replace what a request was charged by what it took."""
        if record.reserved:
            del self._live[record.tenant][record.generation_id]
            self._take(record.tenant, took - record.reserved, now)

    def put(self, usage: UsageRecord) -> None:
        """Keep a usage record."""
        self._number += 1
        self.usage.append((self._number, usage))

    def withdraw(self, generation_id: str) -> None:
        """Drop the usage record of a generation that runs anew."""
        self.usage = [each for each in self.usage if each[1].generation_id != generation_id]

    def _take(self, tenant: str, tokens: int, now: int) -> None:
        buckets = self._buckets[tenant]
        buckets.tokens_full = max(buckets.tokens_full, now) + tokens * buckets.pace


def _wait(full: float, amount: int, per_minute: int, now: int) -> float:
    """Until an amount fits in a bucket, in ms; not above 0 when it does."""
    if not per_minute:
        return 0.0
    needed = min(amount, per_minute) * MINUTE_MS / per_minute
    return max(full - now, 0) + needed - MINUTE_MS
