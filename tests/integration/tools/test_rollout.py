"""A short run of the rollout check: the release before the head, replaced by it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.chaos.report import ZEROS
from tests.rollout.previous import NoPreviousReleaseError, previous_release
from tools.checks import ROOT

pytestmark = pytest.mark.integration


@pytest.fixture
def previous() -> str:
    """Name of the previous release; a clone without it cannot run the check."""
    try:
        return previous_release(ROOT).name
    except NoPreviousReleaseError as error:
        pytest.skip(str(error))


def test_every_stream_goes_on_when_the_head_replaces_the_release_before(previous: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.rollout.run", "--seed", "5"),
            *("--parts", "rollout", "--streams", "30", "--step-ms", "400"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["previous"] == previous
    assert {name: report[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0)
    assert report["finished"] == report["streams"] >= 30
    assert report["resumed_midstream"] > 0
    assert report["odd_exits"] == {}
    (phase,) = report["phases"]
    assert (phase["name"], phase["replaced"]) == ("rollout", 7)
    assert phase["least_live"] >= 30
    # The gateways that ended sent their streams elsewhere.
    assert phase["transient_by_reason"]["GATEWAY_DRAINING"] > 0
