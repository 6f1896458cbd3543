"""The in-memory twin keeps the contract of a queue."""

from __future__ import annotations

import pytest

from tests.support.queue_contract import (
    admitting,
    candidates,
    claiming,
    ending,
    fitting,
    hinting,
    listing,
    operating,
    ordering,
    reading,
    rewinding,
    submitting,
    sweeping,
    warming,
    writing,
)
from tests.support.queue_contract.memory_world import MemoryWorld

pytestmark = pytest.mark.unit


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


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
