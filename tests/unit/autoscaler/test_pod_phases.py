"""Phases of pods as Kubernetes describes them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from facet.autoscaler.pod_phases import pod_of
from facet.autoscaler.signals import Phase
from tests.support.kubernetes_cluster import pod


def at(described: dict[str, Any], *, ahead: float = 0.0) -> tuple[Phase, float, float]:
    found = pod_of(described, time.time() + ahead)
    assert found is not None
    return found.phase, found.age_seconds, found.phase_seconds


@pytest.mark.parametrize("phase", ["unschedulable", "pulling", "loading", "warming", "ready"])
def test_the_phase_and_its_age_are_read_when_a_pod_starts(phase: str) -> None:
    found, age, in_phase = at(pod("a", phase, age_seconds=60))

    assert found.value == phase
    assert age == pytest.approx(60, abs=2)
    # Without a node since it was created; in the others since half of its life.
    assert in_phase == pytest.approx(60 if phase == "unschedulable" else 30, abs=2)


def test_a_pod_is_terminating_from_its_deletion_on_when_it_drains_in_its_grace_period() -> None:
    described = pod("a", "ready", age_seconds=600)
    described["metadata"]["deletionTimestamp"] = time.strftime(
        "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 500)
    )
    described["metadata"]["deletionGracePeriodSeconds"] = 540
    phase, _, in_phase = at(described)

    assert phase is Phase.TERMINATING
    assert in_phase == pytest.approx(40, abs=2)


@pytest.mark.parametrize("ended", ["Failed", "Succeeded"])
def test_a_pod_is_none_when_it_has_ended(ended: str) -> None:
    described = pod("a")
    described["status"]["phase"] = ended

    assert pod_of(described, time.time()) is None


def test_a_pod_is_none_when_it_has_no_pool() -> None:
    described = pod("a")
    del described["metadata"]["labels"]["facet/pool"]

    assert pod_of(described, time.time()) is None


@pytest.mark.parametrize(
    "state",
    [
        {"terminated": {"exitCode": 0, "finishedAt": None}},
        {"waiting": {"reason": "CrashLoopBackOff"}},
    ],
)
def test_a_pod_loads_again_when_its_container_has_ended(state: dict[str, Any]) -> None:
    described = pod("a", "loading")
    described["status"]["containerStatuses"][0] |= {"state": state, "started": False}

    assert at(described)[0] is Phase.LOADING


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "PodInitializing"])
def test_a_pod_pulls_when_its_image_is_not_there(reason: str) -> None:
    described = pod("a", "pulling")
    described["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": reason}}

    assert at(described)[0] is Phase.PULLING


def test_a_pod_pulls_when_its_node_has_not_told_of_it_yet() -> None:
    described = pod("a", "pulling")
    del described["status"]["containerStatuses"]

    assert at(described)[0] is Phase.PULLING


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_ages_stay_within_a_pods_life_when_clocks_disagree(ahead: float) -> None:
    _, age, in_phase = at(pod("a", "ready", age_seconds=60), ahead=ahead)

    assert 0 <= in_phase <= age


def test_a_time_that_cannot_be_read_is_passed_over() -> None:
    described = pod("a", "ready")
    described["metadata"]["creationTimestamp"] = "yesterday"

    assert at(described)[1] == 0.0
