"""All contracts of a queue of several shards, for test modules with a fixture `world` to import."""

from __future__ import annotations

from tests.support.queue_contract import (
    accounting,
    ending,
    hinting,
    listing,
    operating,
    reading,
    sharding,
    sweeping,
    telling,
    writing,
)


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


class TestTelling(telling.TellingContract):
    pass


class TestUsage(accounting.UsageContract):
    pass


class TestRetention(accounting.RetentionContract):
    pass


class TestDelivery(accounting.DeliveryContract):
    pass
