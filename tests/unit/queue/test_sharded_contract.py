"""A queue of three shards keeps the contract of a queue, but for an order over all shards."""

from __future__ import annotations

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
from tests.support.queue_contract.memory_world import LIMITS, MemoryWorld
from tests.support.queue_contract.sharded_world import SHARDS, ShardedWorld

pytestmark = pytest.mark.unit


@pytest.fixture
def world() -> ShardedWorld:
    return ShardedWorld([MemoryWorld(shard=shard) for shard in range(SHARDS)], LIMITS)


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
