"""A queue of three shards keeps the contract of a queue, but for an order over all shards."""

from __future__ import annotations

import pytest

from tests.support.queue_contract.memory_world import LIMITS, MemoryWorld
from tests.support.queue_contract.sharded_world import SHARDS, ShardedWorld
from tests.support.queue_contract.whole_sharded import *  # noqa: F403 - the tests themselves

pytestmark = pytest.mark.unit


@pytest.fixture
def world() -> ShardedWorld:
    return ShardedWorld([MemoryWorld(shard=shard) for shard in range(SHARDS)], LIMITS)
