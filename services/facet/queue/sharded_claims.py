"""One worker's claims on several shards, as one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from facet.core.errors import StoreUnavailableError
from facet.queue.limits import MAX_CLAIM, MAX_WAIT_MS
from facet.queue.placement import MAX_SHARDS
from facet.queue.port import Queue
from facet.queue.values import Claim, Claimed, ClaimResult

SETTLE_SECONDS = 2.0
"""A shard that did not answer is left alone for so long: if it fell back it may have forgotten
leases, and whoever holds them takes them back first."""


PATIENCE_SECONDS = 8.0
"""For so long when it did not answer again, unless a wait on it is answered: a claim on a shard
that hangs holds up those on others."""


@dataclass(frozen=True)
class _Owed:
    """A claim whose answer is missing: it may have leased something."""

    nonce: str
    settled_at: float
    ready_at: float


@dataclass
class _Round:
    """What one claim has got so far."""

    claimed: list[Claimed] = field(default_factory=list)
    visited: set[int] = field(default_factory=set)
    failures: list[StoreUnavailableError] = field(default_factory=list)
    next_check_ms: int = MAX_WAIT_MS
    may_take_hints: bool = True


class ShardedClaims:
    """Visits the shards in turn until the limit is reached, each time beginning with another.

    First come shards that owe an answer, then one that this worker empties itself for, then those
    whose hint it took. While it empties itself, and with a suspect, it takes nothing elsewhere.
    """

    def __init__(self) -> None:
        # Workers that start together begin with different shards.
        self._turn = secrets.randbelow(MAX_SHARDS)
        self._owed: dict[int, _Owed] = {}
        self._emptying_for: int | None = None

    async def claim(
        self, queues: Mapping[int, Queue], claim: Claim, hinted: set[int]
    ) -> tuple[ClaimResult, set[int]]:
        """The result, and the shards that were asked.

        Errors: StoreUnavailableError when none answered.
        """
        got, most = _Round(), min(claim.limit, MAX_CLAIM)
        for shard in self._order(queues, hinted):
            if len(got.claimed) >= most:
                break
            if not await self._visit(shard, queues[shard], claim, got):
                break
        if got.failures and not got.visited:
            raise got.failures[0]
        result = ClaimResult(tuple(got.claimed), got.next_check_ms, got.may_take_hints)
        return result, got.visited

    async def _visit(self, shard: int, queue: Queue, claim: Claim, got: _Round) -> bool:
        """Claim from one shard; whether others may be asked too."""
        owed = self._owed.get(shard)
        share = _rest(claim, got.claimed, owed.nonce if owed else claim.nonce)
        try:
            result = await queue.claim(share)
        except StoreUnavailableError as error:
            now = time.monotonic()
            pause_seconds = PATIENCE_SECONDS if owed else SETTLE_SECONDS
            self._owed[shard] = _Owed(share.nonce, now + SETTLE_SECONDS, now + pause_seconds)
            got.failures.append(error)
            return True
        self._owed.pop(shard, None)
        got.visited.add(shard)
        got.claimed += result.claimed
        got.next_check_ms = min(got.next_check_ms, result.next_check_ms)
        if not result.may_take_hints:
            self._emptying_for, got.may_take_hints = shard, False
            return False
        if self._emptying_for == shard:
            self._emptying_for = None
        return not any(each.is_alone for each in result.claimed)

    def expect(self, shards: Iterable[int]) -> None:
        """These shards have answered something else."""
        for shard in self._owed.keys() & set(shards):
            owed = self._owed[shard]
            self._owed[shard] = replace(owed, ready_at=min(owed.ready_at, owed.settled_at))

    def _order(self, queues: Mapping[int, Queue], hinted: set[int]) -> list[int]:
        now = time.monotonic()
        shards = list(queues)
        start = self._turn % len(shards)
        self._turn += 1
        shards = shards[start:] + shards[:start]
        settled = [at for at in shards if at not in self._owed or self._owed[at].ready_at <= now]
        # Stable: those of one kind stay in turn. A worker that waited for all begins with any.
        return sorted(
            settled or shards,
            key=lambda at: (at not in self._owed, at != self._emptying_for, at not in hinted),
        )


def _rest(claim: Claim, claimed: list[Claimed], nonce: str) -> Claim:
    """What is left to be claimed beside what other shards gave."""
    if not claimed and nonce == claim.nonce:
        return claim
    count, room = len(claimed), claim.room
    sequences = sum(each.sequences for each in claimed)
    return replace(
        claim,
        nonce=nonce,
        limit=min(claim.limit, MAX_CLAIM) - count,
        held=claim.held + count,
        room=replace(
            room,
            free_sequences=max(room.free_sequences - sequences, 0),
            free_tokens=max(room.free_tokens - sum(each.charged_tokens for each in claimed), 0),
        ),
    )
