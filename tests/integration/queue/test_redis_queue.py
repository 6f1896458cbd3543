"""The queue in Redis keeps the contract of a queue."""

from __future__ import annotations

import pytest

from tests.support.queue_contract import claiming, ending, reading, submitting, sweeping, writing

pytestmark = pytest.mark.integration


class TestSubmit(submitting.SubmitContract):
    pass


class TestClaim(claiming.ClaimContract):
    pass


class TestHandBack(claiming.HandBackContract):
    pass


class TestHints(claiming.HintContract):
    pass


class TestWrite(writing.WriteContract):
    pass


class TestFinish(writing.FinishContract):
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


class TestFollow(reading.FollowContract):
    pass


class TestRead(reading.ReadContract):
    pass


class TestReports(reading.ReportContract):
    pass
