"""A queue of three shards in Redis keeps the contract, but for an order over all shards."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from tests.support.queue_contract import (
    ending,
    hinting,
    listing,
    operating,
    reading,
    sharding,
    sweeping,
    writing,
)
from tests.support.queue_contract.memory_world import LIMITS
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.queue_contract.sharded_world import SHARDS, ShardedWorld
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(redis_server: RedisServer) -> AsyncIterator[ShardedWorld]:
    release = secrets.token_hex(8)
    worlds = [
        RedisWorld(redis_server.url, release, stands=True, shard=shard) for shard in range(SHARDS)
    ]
    yield ShardedWorld(worlds, LIMITS)
    for world in worlds:
        await world.close()


class TestSubmit(sharding.SubmitContract):
    pass


class TestList(listing.ListContract):
    pass


class TestClaim(sharding.ClaimContract):
    pass


class TestHandBack(sharding.HandBackContract):
    pass


class TestHints(hinting.HintContract):
    pass


class TestCandidates(sharding.CandidateContract):
    pass


class TestWrite(writing.WriteContract):
    pass


class TestFinish(writing.FinishContract):
    pass


class TestRewound(sharding.RewoundContract):
    pass


class TestCancel(ending.CancelContract):
    pass


class TestDeadline(sharding.DeadlineContract):
    pass


class TestReaderPresence(ending.ReaderPresenceContract):
    pass


class TestReap(sharding.ReapContract):
    pass


class TestDeaths(sweeping.DeathContract):
    pass


class TestSuspects(sweeping.SuspectContract):
    pass


class TestRead(reading.ReadContract):
    pass


class TestFollow(reading.FollowContract):
    pass


class TestReports(reading.ReportContract):
    pass


class TestDeadLetters(sharding.DeadLetterContract):
    pass


class TestInspect(sharding.InspectContract):
    pass


class TestWorkers(operating.WorkerContract):
    pass
