"""Keys that charts have by convention: images, names, labels, environment, placement, priority."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.conftest import Render, Renderer

pytestmark = pytest.mark.integration

WORKLOADS = {
    "gateway": "Deployment/facet-gateway",
    "worker": "Deployment/facet-worker-one",
    "autoscaler": "Deployment/facet-autoscaler",
    "redis": "StatefulSet/facet-redis",
}
BARE = {"global": {"localImages": False}}
REGISTRY = "registry.example.com/facet"
COMMAND = "`--set global.imageRegistry=REGION-docker.pkg.dev/PROJECT/facet`"


def complete(render: Renderer, component: dict[str, Any], **values: Any) -> Render:
    """The chart with every workload, each of which takes `component`'s values."""
    return render(
        {
            "pools": [{"name": "one", "profile": "nano-cpu", "min": 0, "max": 2}],
            "gateway": component,
            "worker": component,
            "autoscaler": {"mode": "keda", **component},
            "redis": {"embedded": component},
            "test": {"apiKeySecret": "client"},
            **values,
        }
    )


def pods(chart: Render) -> dict[str, dict[str, Any]]:
    """The pod specs of all workloads and of the test."""
    found = {name: chart.pod(workload) for name, workload in WORKLOADS.items()}
    return {**found, "test": chart["Pod/facet-test"]["spec"]}


def test_the_command_is_told_when_images_lie_nowhere(render: Renderer) -> None:
    refusal = render(BARE).refusal

    assert "gateway.image: no registry holds it" in refusal
    assert "`make images REGISTRY=REGION-docker.pkg.dev/PROJECT/facet`" in refusal
    assert COMMAND in refusal
    assert "`--set global.localImages=true`" in refusal


@pytest.mark.parametrize(
    ("missing", "values"),
    [
        ("worker.image.cpu", {"gateway": {"image": {"registry": REGISTRY}}}),
        (
            "autoscaler.image",
            {
                "gateway": {"image": {"registry": REGISTRY}},
                "worker": {"image": {"cpu": {"registry": REGISTRY}}},
                "autoscaler": {"mode": "standalone"},
                "pools": [{"name": "one", "profile": "nano-cpu", "min": 0, "max": 1}],
            },
        ),
    ],
)
def test_the_image_is_named_when_it_alone_has_no_registry(
    render: Renderer, missing: str, values: dict[str, Any]
) -> None:
    assert f"{missing}: no registry holds it" in render({**BARE, **values}).refusal


@pytest.mark.parametrize(
    "values",
    [
        {"global": {"localImages": False, "imageRegistry": REGISTRY}},
        {
            **BARE,
            "gateway": {"image": {"registry": REGISTRY}},
            "worker": {"image": {"cpu": {"registry": REGISTRY}}},
        },
    ],
)
def test_images_come_from_the_registry_that_is_named(
    render: Renderer, values: dict[str, Any]
) -> None:
    chart = render(values)

    for workload in ("Deployment/facet-gateway", "Deployment/facet-worker-nano-cpu"):
        assert chart.container(workload)["image"].startswith(f"{REGISTRY}/facet-")
    # `make images` does not push this one.
    assert chart.container(WORKLOADS["redis"])["image"].startswith("docker.io/library/redis:")


def test_an_images_own_registry_wins_over_the_global_one(render: Renderer) -> None:
    chart = render(
        {
            "global": {"imageRegistry": REGISTRY},
            "redis": {"embedded": {"image": {"registry": "mirror.example.com"}}},
            "gateway": {"image": {"registry": "other.example.com/x/"}},
        }
    )

    assert chart.container(WORKLOADS["redis"])["image"].startswith("mirror.example.com/library/")
    assert chart.container(WORKLOADS["gateway"])["image"].startswith("other.example.com/x/facet-g")


@pytest.mark.parametrize("component", WORKLOADS)
def test_common_keys_reach_every_workload(render: Renderer, component: str) -> None:
    given: dict[str, Any] = {
        "extraEnv": [{"name": "EXTRA", "value": "1"}],
        "labels": {"l": "1"},
        "annotations": {"a": "1"},
        "nodeSelector": {"pool": "one"},
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
        ],
        "priorityClassName": "mine",
    }
    chart = complete(render, given)
    workload = WORKLOADS[component]
    template = chart[workload]["spec"]["template"]

    assert chart.env(workload)["EXTRA"] == "1"
    for metadata in (chart[workload]["metadata"], template["metadata"]):
        assert metadata["labels"]["l"] == "1"
        assert metadata["annotations"]["a"] == "1"
    for key in ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"):
        assert template["spec"][key] == given[key]
    assert template["spec"]["priorityClassName"] == "mine"


def test_the_test_runs_where_gateways_do(render: Renderer) -> None:
    placed = {"nodeSelector": {"pool": "one"}, "tolerations": [{"operator": "Exists"}]}
    spec = pods(complete(render, placed))["test"]

    assert {key: spec[key] for key in placed} == placed
    assert "topologySpreadConstraints" not in spec


def test_pull_secrets_of_chart_and_umbrella_reach_every_pod(render: Renderer) -> None:
    chart = complete(
        render,
        {},
        imagePullSecrets=[{"name": "own"}],
        **{"global": {"imagePullSecrets": [{"name": "shared"}]}},
    )

    for name, pod in pods(chart).items():
        assert pod["imagePullSecrets"] == [{"name": "own"}, {"name": "shared"}], name
    assert not [pod for pod in pods(complete(render, {})).values() if "imagePullSecrets" in pod]


def test_two_classes_are_made_and_taken_when_told(render: Renderer) -> None:
    chart = complete(render, {}, priorityClasses={"create": True})
    classes = {
        name.removeprefix("PriorityClass/"): manifest
        for name, manifest in chart.manifests.items()
        if manifest["kind"] == "PriorityClass"
    }
    taken = {name: pod["priorityClassName"] for name, pod in pods(chart).items()}

    assert set(taken.values()) == classes.keys()
    assert taken["gateway"] == taken["redis"] == taken["autoscaler"] == taken["test"]
    assert classes[taken["gateway"]]["value"] > classes[taken["worker"]]["value"] > 0
    for manifest in classes.values():
        assert "namespace" not in manifest["metadata"]
        # The cluster's other releases have classes of their own.
        assert manifest["metadata"]["name"].startswith("facet-facet-")


def test_no_class_is_made_or_taken_when_not_told(render: Renderer) -> None:
    chart = complete(render, {})

    assert not [name for name in chart.manifests if name.startswith("PriorityClass/")]
    assert not [pod for pod in pods(chart).values() if "priorityClassName" in pod]


def test_gateways_keep_softly_apart_when_not_told_how(render: Renderer) -> None:
    chart = render({"nameOverride": "other"})
    (workload,) = [name for name in chart.manifests if name.startswith("Deployment/facet-other-g")]
    labels = chart[workload]["spec"]["template"]["metadata"]["labels"]
    constraints = chart.pod(workload)["topologySpreadConstraints"]

    assert [each["topologyKey"] for each in constraints] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    for each in constraints:
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert each["labelSelector"]["matchLabels"].items() <= labels.items()
