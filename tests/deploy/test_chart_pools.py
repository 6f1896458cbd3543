"""Pools of workers: what a profile brings, what a pool overrides, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from facet.worker.health import LIVENESS
from tests.deploy.conftest import Render, Renderer
from tools.helm import CHART

pytestmark = pytest.mark.integration

PROFILES: dict[str, Any] = yaml.safe_load((CHART / "files" / "profiles.yaml").read_text())
ONE = "Deployment/facet-worker-one"


def pooled(render: Renderer, *pools: dict[str, Any], **values: Any) -> Render:
    """The chart with these pools; the first is named `one` where it says nothing else."""
    model = PROFILES[pools[0]["profile"]]["model"]
    named = [{"name": "one", **pool} for pool in pools]
    return render({"model": model, "pools": named, **values})


@pytest.mark.parametrize("profile", PROFILES)
def test_a_pool_takes_all_from_its_profile_when_it_says_nothing(
    render: Renderer, profile: str
) -> None:
    data = PROFILES[profile]
    chart = pooled(render, {"profile": profile})
    pod, container = chart.pod(ONE), chart.container(ONE)
    image = "facet-worker:" if data["device"] == "gpu" else "facet-worker-cpu:"

    assert {
        kind: {name: amount for name, amount in amounts.items() if name != "ephemeral-storage"}
        for kind, amounts in container["resources"].items()
    } == data["resources"]
    assert container["image"].startswith(image)
    assert pod.get("nodeSelector", {}) == data["nodeSelectors"][0]
    assert pod.get("tolerations", []) == data["tolerations"]
    assert chart.env(ONE)["FACET_WORKER_PROFILE"] == profile
    assert ("FACET_WORKER_CPU_THREADS" in chart.env(ONE)) is (data["device"] == "cpu")
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= data["startSeconds"]
    assert chart[ONE]["spec"]["progressDeadlineSeconds"] > data["startSeconds"]
    downloads = data["downloadBytes"] > 0
    assert ("FACET_WORKER_WEIGHTS_CACHE" in chart.env(ONE)) is downloads
    assert ("NetworkPolicy/facet-worker-one" in chart) is downloads


def test_pools_are_apart_when_there_are_two(render: Renderer) -> None:
    chart = pooled(
        render,
        {"profile": "w4a16", "replicas": 3},
        {"profile": "fp8", "name": "two", "accelerator": "nvidia-rtx-pro-6000", "spot": True},
    )
    one, two = chart[ONE]["spec"], chart["Deployment/facet-worker-two"]["spec"]

    assert (one["replicas"], two["replicas"]) == (3, 1)
    assert one["selector"] != two["selector"]
    for name in ("one", "two"):
        budget = chart[f"PodDisruptionBudget/facet-worker-{name}"]["spec"]
        assert budget["selector"]["matchLabels"]["facet/pool"] == name
    pod = two["template"]["spec"]
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-accelerator": "nvidia-rtx-pro-6000",
        "cloud.google.com/gke-spot": "true",
    }
    assert "cloud.google.com/gke-spot" in {t["key"] for t in pod["tolerations"]}


def test_a_pool_wins_over_the_common_values(render: Renderer) -> None:
    resources = {"requests": {"cpu": "9"}, "limits": {"memory": "9Gi", "cpu": "9"}}
    chart = pooled(
        render,
        {"profile": "nano-cpu", "drainSeconds": 0, "resources": resources, "replicas": 0},
        worker={"drainSeconds": 20, "replicas": 4},
    )

    assert chart.env(ONE)["FACET_WORKER_DRAIN_SECONDS"] == "0"
    # What it does not name is the profile's.
    rendered = chart.container(ONE)["resources"]
    assert rendered["requests"].items() >= {"cpu": "9", "memory": "6Gi"}.items()
    assert rendered["limits"].items() >= resources["limits"].items()
    assert chart[ONE]["spec"]["replicas"] == 0


def test_the_gpu_stays_when_a_pool_names_other_resources(render: Renderer) -> None:
    chart = pooled(render, {"profile": "w4a16", "resources": {"requests": {"memory": "16Gi"}}})

    resources = chart.container(ONE)["resources"]
    assert resources["requests"]["memory"] == "16Gi"
    assert resources["limits"]["nvidia.com/gpu"] == "1"


def test_weights_are_read_from_the_volume_when_there_is_one(render: Renderer) -> None:
    volume = {"csi": {"driver": "gcsfuse.csi.storage.gke.io", "readOnly": True}}
    weights = {"volume": volume, "path": "a/b", "drafterPath": "a/c"}
    chart = pooled(render, {"profile": "bf16", "weights": weights})
    (mounted,) = [v for v in chart.pod(ONE)["volumes"] if v["name"] == "weights"]
    (mount,) = [m for m in chart.container(ONE)["volumeMounts"] if m["name"] == "weights"]

    assert mounted == {"name": "weights", **volume}
    assert mount["readOnly"] is True
    assert chart.env(ONE)["FACET_WORKER_WEIGHTS"] == "/weights/a/b"
    assert chart.env(ONE)["FACET_WORKER_DRAFTER_WEIGHTS"] == "/weights/a/c"
    assert chart.env(ONE)["FACET_WORKER_OFFLINE"] == "true"
    annotations = chart[ONE]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["gke-gcsfuse/volumes"] == "true"


def test_names_fit_a_label_when_they_are_as_long_as_can_be(render: Renderer) -> None:
    pool = {"profile": "nano-cpu", "name": "n" * 15, "min": 0, "max": 1}
    chart = pooled(render, pool, autoscaler={"mode": "keda"}, fullnameOverride="f" * 40)

    (name,) = [each for each in chart.manifests if each.startswith("ScaledObject/")]
    assert len(name.partition("/")[2]) <= 63


def test_the_token_is_a_reference_when_weights_are_downloaded(render: Renderer) -> None:
    pool = {"profile": "w4a16", "weights": {"tokenSecret": "hub"}}

    assert pooled(render, pool).env(ONE)["HF_TOKEN"] == {
        "secretKeyRef": {"name": "hub", "key": "token"}
    }


@pytest.mark.parametrize("load_format", ["", "auto", "runai_streamer"])
def test_a_pool_may_fetch_alike_when_a_format_says_how_weights_are_read(
    render: Renderer, load_format: str
) -> None:
    weights = {"source": "gs://bucket/bf16", "tokenSecret": "hub"}
    chart = pooled(render, {"profile": "bf16", "loadFormat": load_format, "weights": weights})
    env = chart.env(ONE)

    assert env.get("FACET_WORKER_LOAD_FORMAT", "") == load_format
    assert env["FACET_WORKER_WEIGHTS"] == "gs://bucket/bf16"
    assert env["HF_TOKEN"]["secretKeyRef"]["name"] == "hub"
    (mount,) = [m for m in chart.container(ONE)["volumeMounts"] if m["name"] == "weights"]
    assert env["FACET_WORKER_WEIGHTS_CACHE"] == mount["mountPath"]
    assert "NetworkPolicy/facet-worker-one" in chart


def test_a_mounted_volume_is_read_in_the_format_when_there_are_both(render: Renderer) -> None:
    volume = {"persistentVolumeClaim": {"claimName": "weights"}}
    weights = {"volume": volume, "drafterPath": "drafter"}
    pool = {"profile": "bf16", "loadFormat": "runai_streamer", "weights": weights}
    chart = pooled(render, pool)

    assert chart.env(ONE)["FACET_WORKER_LOAD_FORMAT"] == "runai_streamer"
    assert chart.env(ONE)["FACET_WORKER_WEIGHTS"] == "/weights"
    assert "NetworkPolicy/facet-worker-one" not in chart


@pytest.mark.parametrize(
    ("profile", "source", "engine", "downloads"),
    [
        ("nano-cpu", "", "vllm", False),
        ("nano-cpu", "gs://bucket/nano", "vllm", True),
        ("nano-cpu", "org/nano@main", "vllm", True),
        ("nano-cpu", "/models/nano", "vllm", False),
        ("w4a16", "", "vllm", True),
        ("w4a16", "", "simulated", False),
        ("w4a16", "gs://bucket/w4a16", "simulated", False),
    ],
)
def test_a_pool_downloads_when_its_engine_reads_what_lies_elsewhere(
    render: Renderer, profile: str, source: str, engine: str, downloads: bool
) -> None:
    chart = pooled(render, {"profile": profile, "engine": engine, "weights": {"source": source}})

    assert ("FACET_WORKER_WEIGHTS_CACHE" in chart.env(ONE)) is downloads
    assert ("NetworkPolicy/facet-worker-one" in chart) is downloads
    mounts = [mount["name"] for mount in chart.container(ONE)["volumeMounts"]]
    assert ("weights" in mounts) is downloads


@pytest.mark.parametrize(
    ("pool", "mebibytes"),
    [
        ({"profile": "nano-cpu"}, (4 + 2) * 1024),
        ({"profile": "nano-cpu", "cacheSize": "512Mi"}, 512 + 2048),
        ({"profile": "nano-cpu", "cacheSize": "1G"}, 954 + 2048),
        ({"profile": "w4a16"}, (13 + 4 + 2) * 1024),
        ({"profile": "w4a16", "engine": "simulated"}, (4 + 2) * 1024),
        ({"profile": "w4a16", "weights": {"cacheVolume": {"emptyDir": {"sizeLimit": "20Gi"}}}},
         (20 + 4 + 2) * 1024),
        ({"profile": "w4a16", "weights": {"cacheVolume": {"hostPath": {"path": "/ssd"}}}},
         (4 + 2) * 1024),
        ({"profile": "nano-cpu", "weights": {"volume": {"nfs": {}}}}, (4 + 2) * 1024),
        ({"profile": "bf16", "weights": {"source": "gs://bucket/bf16"}}, (26 + 4 + 2) * 1024),
        # Streamed: the drafter and small files alone.
        ({"profile": "bf16", "loadFormat": "runai_streamer",
          "weights": {"source": "gs://bucket/bf16"}}, (4 + 4 + 2) * 1024),
        ({"profile": "bf16", "loadFormat": "runai_streamer"}, (26 + 4 + 2) * 1024),
    ],
)  # fmt: skip
def test_the_disk_of_the_node_is_asked_for_when_volumes_lie_on_it(
    render: Renderer, pool: dict[str, Any], mebibytes: int
) -> None:
    resources = pooled(render, pool).container(ONE)["resources"]

    assert resources["requests"]["ephemeral-storage"] == f"{mebibytes}Mi"
    assert resources["limits"]["ephemeral-storage"] == f"{mebibytes}Mi"


def test_a_pool_wins_when_it_names_the_disk_it_asks_for(render: Renderer) -> None:
    pool = {"profile": "w4a16", "resources": {"requests": {"ephemeral-storage": "1Gi"}}}

    resources = pooled(render, pool).container(ONE)["resources"]
    assert resources["requests"]["ephemeral-storage"] == "1Gi"
    assert resources["limits"]["ephemeral-storage"] == "19456Mi"


def test_no_label_of_gke_is_asked_for_when_there_is_no_accelerator_of_its(
    render: Renderer,
) -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-L4"}
    pool = {"profile": "w4a16", "accelerator": "none", "spot": True, "nodeSelector": labels}
    pod = pooled(render, pool).pod(ONE)
    bare = pooled(render, {"profile": "w4a16", "accelerator": "none"}).pod(ONE)

    assert pod["nodeSelector"] == labels
    assert [toleration["key"] for toleration in pod["tolerations"]] == ["nvidia.com/gpu"]
    assert "nodeSelector" not in bare


def test_liveness_is_not_readiness_when_the_probes_ask(render: Renderer) -> None:
    container = pooled(render, {"profile": "nano-cpu"}).container(ONE)

    assert container["livenessProbe"]["grpc"]["service"] == LIVENESS
    for probe in ("readinessProbe", "startupProbe"):
        assert "service" not in container[probe]["grpc"]


def test_a_scaler_is_the_one_writer_of_replicas_when_the_mode_is_hpa(render: Renderer) -> None:
    pool = {"profile": "nano-cpu", "min": 1, "max": 4}
    chart = pooled(render, pool, autoscaler={"mode": "hpa", "targetCpuPercent": 50})
    scaler = chart["HorizontalPodAutoscaler/facet-worker-one"]["spec"]

    assert "replicas" not in chart[ONE]["spec"]
    assert scaler["scaleTargetRef"]["name"] == "facet-worker-one"
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 4)
    assert scaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 50


def test_images_come_from_the_registry_when_one_is_given(render: Renderer) -> None:
    chart = render({"global": {"imageRegistry": "registry.example.com/x/"}})

    for workload in ("Deployment/facet-gateway", "Deployment/facet-worker-nano-cpu"):
        assert chart.container(workload)["image"].startswith("registry.example.com/x/facet-")


HPA = {"autoscaler": {"mode": "hpa"}}


@pytest.mark.parametrize(
    ("pools", "values", "said"),
    [
        ([{"profile": "nano-cpu"}, {"profile": "nano-cpu"}], {}, "two are named one"),
        ([{"profile": "nano-cpu"}], {"model": "gemma-4-12b"}, "which serves nano"),
        ([{"profile": "w4a16", "spot": True, "drainSeconds": 9}], {}, "drainSeconds to 8"),
        ([{"profile": "nano-cpu", "min": 3, "max": 4, "pricePerHour": 0.5}],
         {"autoscaler": {"mode": "keda", "policy": {"maxCostPerHour": 1.4}}}, "lower them"),
        ([{"profile": "nano-cpu", "startSeconds": 60, "expectedStartSeconds": 61}], {},
         "lower expectedStartSeconds"),
        ([{"profile": "w4a16", "weights": {"volume": {"emptyDir": {}}, "source": "x/y"}}], {},
         "in weights.volume"),
        ([{"profile": "nano-cpu", "min": 1}], {}, "nothing scales it"),
        ([{"profile": "nano-cpu", "min": 1, "max": 2, "replicas": 1}], HPA,
         "autoscaler.mode hpa writes their number"),
        ([{"profile": "nano-cpu"}], HPA, "needs min and max"),
        ([{"profile": "nano-cpu", "min": 3, "max": 2}], HPA, "above its max"),
        ([{"profile": "nano-cpu", "min": 0, "max": 2}], HPA, "cannot scale one to zero"),
        ([{"profile": "w4a16", "min": 1, "max": 2}], HPA, "autoscaler.mode to keda, standalone"),
        ([{"profile": "nano-cpu", "min": 1, "max": 2, "resources": {"requests": {"cpu": 0}}}], HPA,
         "set its resources.requests.cpu"),
        ([{"profile": "w4a16", "weights": {"volume": {"nfs": {}}}}], {}, "set weights.drafterPath"),
        ([{"profile": "w4a16-cpu", "loadFormat": "runai_streamer"}], {}, "leave loadFormat empty"),
    ],
)  # fmt: skip
def test_the_reason_is_told_when_a_pool_cannot_be(
    render: Renderer, pools: list[dict[str, Any]], values: dict[str, Any], said: str
) -> None:
    assert said in pooled(render, *pools, **values).refusal


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        ({"profile": "int2"}, "profile"),
        ({"profile": "nano-cpu", "name": "Upper"}, "name"),
        # KEDA writes the name of a pool's objects into a label, which holds 63 characters.
        ({"profile": "nano-cpu", "name": "n" * 16}, "name"),
        ({"profile": "nano-cpu", "weights": {"volume": {"a": {}, "b": {}}}}, "volume"),
        ({"profile": "nano-cpu", "weights": {"path": "/absolute"}}, "path"),
        ({"profile": "bf16", "loadFormat": "fastsafetensors"}, "loadFormat"),
    ],
)
def test_the_schema_refuses_when_a_pool_is_wrong(
    render: Renderer, pool: dict[str, Any], said: str
) -> None:
    refusal = render({"pools": [{"name": "one", **pool}]}).refusal

    assert "schema" in refusal
    assert said in refusal
