"""All contracts of one queue, for test modules with a fixture `world` to import."""

from __future__ import annotations

from tests.support.queue_contract import (
    accounting,
    admitting,
    candidates,
    claiming,
    ending,
    fitting,
    hinting,
    listing,
    operating,
    ordering,
    quotas,
    reading,
    rewinding,
    scaling,
    submitting,
    sweeping,
    telling,
    warming,
    writing,
)


class TestSubmit(submitting.SubmitContract):
    pass


class TestAdmission(admitting.AdmissionContract):
    pass


class TestList(listing.ListContract):
    pass


class TestClaim(claiming.ClaimContract):
    pass


class TestOrder(ordering.OrderContract):
    pass


class TestFit(fitting.FitContract):
    pass


class TestCandidates(candidates.CandidateContract):
    pass


class TestAffinity(warming.AffinityContract):
    pass


class TestHandBack(claiming.HandBackContract):
    pass


class TestHints(hinting.HintContract):
    pass


class TestWrite(writing.WriteContract):
    pass


class TestFinish(writing.FinishContract):
    pass


class TestRewound(rewinding.RewoundContract):
    pass


class TestCancel(ending.CancelContract):
    pass


class TestDeadline(ending.DeadlineContract):
    pass


class TestReaderPresence(ending.ReaderPresenceContract):
    pass


class TestReap(sweeping.ReapContract):
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


class TestDeadLetters(operating.DeadLetterContract):
    pass


class TestInspect(operating.InspectContract):
    pass


class TestWorkers(operating.WorkerContract):
    pass


class TestTelling(telling.TellingContract):
    pass


class TestQuota(quotas.QuotaContract):
    pass


class TestUsage(accounting.UsageContract):
    pass


class TestRetention(accounting.RetentionContract):
    pass


class TestDelivery(accounting.DeliveryContract):
    pass


class TestUsageBound(accounting.UsageBoundContract):
    pass


class TestScaling(scaling.ScalingContract):
    pass
