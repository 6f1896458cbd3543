"""Who writes the number of workers, and what it may do for that."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import Render, Renderer

pytestmark = pytest.mark.integration

AUTOSCALER = "Deployment/facet-autoscaler"
POOL = {"name": "one", "profile": "nano-cpu", "min": 0, "max": 4, "pricePerHour": 0.5}


def scaled(render: Renderer, mode: str, **values: Any) -> Render:
    return render({"autoscaler": {"mode": mode, **values}, "pools": [POOL]})


def may(chart: Render) -> dict[str, set[str]]:
    """Verbs by resource that the autoscaler's role grants."""
    granted: dict[str, set[str]] = {}
    for rule in chart["Role/facet-autoscaler"]["rules"]:
        for resource in rule["resources"]:
            granted.setdefault(resource, set()).update(rule["verbs"])
    return granted


@pytest.mark.parametrize("mode", ["keda", "standalone"])
def test_replicas_are_left_to_the_scaler(render: Renderer, mode: str) -> None:
    chart = scaled(render, mode)

    assert "replicas" not in chart["Deployment/facet-worker-one"]["spec"]
    assert not [name for name in chart.manifests if name.startswith("HorizontalPod")]
    assert ("ScaledObject/facet-worker-one" in chart) is (mode == "keda")


def test_nothing_of_the_autoscaler_is_rendered_when_nothing_scales(render: Renderer) -> None:
    assert not [name for name in render().manifests if "autoscaler" in name]


def test_only_deletion_costs_are_written_when_keda_scales(render: Renderer) -> None:
    assert may(scaled(render, "keda")) == {"pods": {"get", "list", "watch", "patch"}}


def test_only_the_pools_are_scaled_when_standalone(render: Renderer) -> None:
    chart = scaled(render, "standalone")

    assert may(chart).keys() == {"pods", "deployments/scale", "leases"}
    named = {
        resource: rule["resourceNames"]
        for rule in chart["Role/facet-autoscaler"]["rules"]
        if "resourceNames" in rule
        for resource in rule["resources"]
    }
    assert named == {
        "deployments/scale": ["facet-worker-one"],
        "leases": ["facet-autoscaler"],
    }
    assert chart[AUTOSCALER]["spec"]["replicas"] == 2


def test_the_decision_is_not_smoothed_again_when_keda_scales(render: Renderer) -> None:
    spec = scaled(render, "keda")["ScaledObject/facet-worker-one"]["spec"]
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]

    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 4)
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 0
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "external-push"
    assert trigger["metadata"] == {
        "scalerAddress": "facet-autoscaler.facet.svc:8472",
        "pool": "one",
    }


def test_the_pools_file_says_what_each_pool_is(render: Renderer) -> None:
    chart = scaled(render, "standalone")
    written = json.loads(chart["ConfigMap/facet-autoscaler-pools"]["data"]["pools.json"])

    assert written == {
        "pools": [
            {
                "name": "one",
                "profile": "nano-cpu",
                "deployment": "facet-worker-one",
                "min": 0,
                "max": 4,
                "spot": False,
                "price_per_hour": 0.5,
            }
        ]
    }


def test_only_keda_asks_the_autoscaler(render: Renderer) -> None:
    policy = scaled(render, "keda", kedaNamespace="scalers")["NetworkPolicy/facet-autoscaler"]
    (rule,) = policy["spec"]["ingress"]

    assert "scalers" in yaml.safe_dump(rule["from"])
    assert rule["ports"] == [{"protocol": "TCP", "port": 8472}]
    alone = scaled(render, "standalone")["NetworkPolicy/facet-autoscaler"]
    assert alone["spec"]["ingress"] == []


def test_redis_lets_the_autoscaler_in_when_there_is_one(render: Renderer) -> None:
    for mode, is_there in (("standalone", True), ("hpa", False)):
        pool = {**POOL, "min": 1}
        chart = render({"autoscaler": {"mode": mode}, "pools": [pool]})
        peers = yaml.safe_dump(chart["NetworkPolicy/facet-redis"]["spec"]["ingress"])
        assert ("autoscaler" in peers) is is_there
