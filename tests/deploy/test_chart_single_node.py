"""The values for one node of 16 GB ask for no more than such a node has."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from facet.profiles.catalogue import W4A16_CPU
from facet.profiles.machine import Machine, exactly
from facet.profiles.planner import plan
from facet.profiles.profile import MIB
from tools import golden

pytestmark = pytest.mark.integration

# 13.3 GiB are allocatable, DaemonSets take about 0.3.
MOST = int(13.0 * 1024) * MIB
# Of 8 cores GKE keeps 90 m.
PROCESSORS_MILLI = 7910


def workloads() -> list[dict[str, Any]]:
    text = (golden.GOLDEN / "single-node-16gb.yaml").read_text()
    kinds = ("Deployment", "StatefulSet")
    return [each for each in yaml.safe_load_all(text) if each and each["kind"] in kinds]


def in_bytes(quantity: str) -> int:
    units = {"Mi": MIB, "Gi": 1024 * MIB}
    return int(quantity[:-2]) * units[quantity[-2:]]


def in_milli(quantity: str) -> int:
    return int(quantity[:-1]) if quantity.endswith("m") else int(quantity) * 1000


def total(kind: str) -> int:
    """Memory of all pods, by the requests or the limits."""
    return sum(
        each["spec"]["replicas"] * in_bytes(container["resources"][kind]["memory"])
        for each in workloads()
        for container in each["spec"]["template"]["spec"]["containers"]
    )


def test_memory_of_all_pods_fits_the_node() -> None:
    assert {each["metadata"]["name"] for each in workloads()} == {
        "facet-gateway",
        "facet-redis",
        "facet-worker-cpu",
    }
    assert total("requests") <= 12.6 * 1024 * MIB
    assert total("limits") <= MOST


def test_processors_of_all_pods_fit_eight_cores() -> None:
    asked = sum(
        each["spec"]["replicas"] * in_milli(str(container["resources"]["requests"]["cpu"]))
        for each in workloads()
        for container in each["spec"]["template"]["spec"]["containers"]
    )

    assert asked <= PROCESSORS_MILLI


def test_the_worker_can_start_in_the_memory_that_is_left_to_it() -> None:
    (worker,) = [each for each in workloads() if each["metadata"]["name"] == "facet-worker-cpu"]
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    resources = container["resources"]
    limit = in_bytes(resources["limits"]["memory"])

    made = plan(W4A16_CPU, Machine(ram=exactly(limit), is_shared=False))

    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert made.memory.total == limit
    # A worker alone on such a node would have 8,192: gateway and Redis take the difference.
    assert made.max_model_len == W4A16_CPU.engine.min_context_tokens
