"""Which shard gets a new request: a stable function of its name and of the number of shards."""

from __future__ import annotations

import hashlib
import secrets

MAX_SHARDS = 64
"""Shards of one model at most: workers hold a blocking connection to each."""

_WORD = (1 << 64) - 1
_MULTIPLIER = 2862933555777941757


def shard_for(tenant: str, request_id: str, count: int) -> int:
    """The shard, below `count`, of a tenant's request id; a random one for an empty id.

    Equal in every process and release: a repeat must find the first one. With one shard more an id
    stays where it was or moves to the new one ("jump consistent hash", Lamping and Veach, 2014).
    """
    return _shard_of(f"{len(tenant)}:{tenant}{request_id or secrets.token_hex(8)}", count)


def home_of(tenant: str, count: int) -> int:
    """The shard, below `count`, of all requests of a tenant with a quota."""
    return _shard_of(f"{len(tenant)}:{tenant}", count)


def _shard_of(name: str, count: int) -> int:
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    shard, following = 0, 0
    while following < count:
        shard = following
        key = (key * _MULTIPLIER + 1) & _WORD
        following = (shard + 1) * (1 << 31) // ((key >> 33) + 1)
    return shard
