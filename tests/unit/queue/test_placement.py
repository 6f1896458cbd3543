"""Which shard gets a request."""

from __future__ import annotations

from collections import Counter

import pytest

from facet.queue.placement import MAX_SHARDS, shard_for

pytestmark = pytest.mark.unit

_IDS = [f"order-{i}" for i in range(6_000)]


@pytest.mark.parametrize(
    ("tenant", "request_id", "shards"),
    [
        ("alice", "order-1", [0, 1, 1, 4, 4, 4]),
        ("alice", "order-2", [0, 0, 0, 0, 0, 29]),
        ("bob", "order-1", [0, 0, 2, 3, 5, 56]),
        ("anonymous", "ünïcode", [0, 1, 1, 1, 1, 1]),
        ("al", "iceorder-1", [0, 0, 2, 4, 9, 30]),
    ],
)
def test_shard_is_the_known_one_when_an_id_is_placed(
    tenant: str, request_id: str, shards: list[int]
) -> None:
    """Other processes and releases placed them there: these values never change."""
    assert [shard_for(tenant, request_id, count) for count in (1, 2, 3, 5, 16, 64)] == shards


@pytest.mark.parametrize("count", [2, 3, 7, MAX_SHARDS])
def test_shards_get_like_shares_when_ids_are_many(count: int) -> None:
    found = Counter(shard_for("alice", request_id, count) for request_id in _IDS)
    assert set(found) == set(range(count))
    assert max(found.values()) < 1.5 * len(_IDS) / count


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_ids_stay_or_move_to_the_new_shard_when_one_is_added(count: int) -> None:
    moved = 0
    for request_id in _IDS:
        before, after = (shard_for("alice", request_id, each) for each in (count, count + 1))
        assert after in (before, count)
        moved += before != after
    assert 0.8 < moved / (len(_IDS) / (count + 1)) < 1.2


def test_requests_without_an_id_are_spread_when_they_are_many() -> None:
    assert {shard_for("alice", "", 3) for _ in range(200)} == {0, 1, 2}
