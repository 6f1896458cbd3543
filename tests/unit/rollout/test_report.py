"""A run counts as good only when every condition holds."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from facet.api.v1 import event_pb2
from tests.chaos.checker import End, Verdict
from tests.chaos.client import Outcome
from tests.chaos.load import Load
from tests.chaos.report import ZEROS, Judged
from tests.rollout.phases import Phase
from tests.rollout.report import make_report, unmet

pytestmark = pytest.mark.unit

PLANS = list(Load(random.Random(1), requests=3, poisons=0).plans())


def judged(number: int, end: End = End.FINISHED, wrong: str = "") -> Judged:
    """A stream that a second worker went on with."""
    outcome = Outcome(PLANS[number])
    outcome.main.take([event_pb2.Event(resumed=event_pb2.Resumed(attempt=2))])
    return Judged(outcome, Verdict(end, end.value, False, [wrong] if wrong else []))


GOOD = Phase("rollout", [judged(0), judged(1)], 2, replaced=6, seconds=1.0)


def faults_of(*phases: Phase, odd_exits: dict[str, list[int]] | None = None) -> list[str]:
    return unmet(make_report("v0.1.0", phases, odd_exits or {}, {}))


def test_sums_come_first_and_phases_after_when_all_is_well() -> None:
    report = make_report("v0.1.0", [GOOD, GOOD], {}, {"seed": 7})

    names = ["previous", "streams", "finished", "resumed_midstream", *ZEROS, "phases", "odd_exits"]
    assert list(report) == [*names, "seed"]
    assert (report["streams"], report["finished"], report["resumed_midstream"]) == (4, 4, 4)
    assert [phase["name"] for phase in report["phases"]] == ["rollout", "rollout"]
    assert json.loads(json.dumps(report)) == report
    assert unmet(report) == []


def test_run_fails_when_a_stream_was_lost() -> None:
    phase = replace(GOOD, judged=[judged(0), judged(1, End.LOST)])

    assert faults_of(GOOD, phase) == ["lost is 1", "finished are 3 of 4"]


@pytest.mark.parametrize("end", [End.FAILED, End.ABORTED, End.DEAD_LETTERED, End.CANCELLED])
def test_run_fails_when_a_stream_ended_otherwise(end: End) -> None:
    assert faults_of(replace(GOOD, judged=[judged(0, end)])) == ["finished are 0 of 1"]


def test_run_fails_when_content_is_wrong() -> None:
    phase = replace(GOOD, judged=[judged(0, wrong="offset 3: the text differs")])

    assert faults_of(phase) == ["wrong_content is 1"]


@pytest.mark.parametrize("zero", ["duplicate_offsets", "gaps", "extra_terminals"])
def test_run_fails_when_a_delivery_broke_the_order(zero: str) -> None:
    broken = judged(0)
    setattr(broken.outcome.main, zero, 1)

    assert faults_of(replace(GOOD, judged=[broken])) == [f"{zero} is 1"]


def test_run_fails_when_a_process_ended_otherwise_than_by_a_drain() -> None:
    faults = faults_of(GOOD, odd_exits={"flips/worker-0": [1]})

    assert faults == ["processes ended otherwise than by a drain: {'flips/worker-0': [1]}"]


def test_run_fails_when_nothing_went_on_elsewhere() -> None:
    quiet = Judged(Outcome(PLANS[0]), Verdict(End.FINISHED, "OK", False))

    assert faults_of(replace(GOOD, judged=[quiet])) == [
        "rollout: no stream went on with another worker"
    ]
